// The page of the single-page client: makes calls and shows their results.

import { callApi, descriptionOf } from "/app/api.js";
import { FreshToken } from "/app/fresh-token.js";

const LONGEST_LIST = 200;
const STEADY_MS = 2000;

const issuer = document.body.dataset.issuer;
const byId = (id) => document.getElementById(id);
const otherOrigin = (() => {
  const url = new URL(location.origin);
  url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return url.origin;
})();

const PEOPLE = {
  user: { sub: "alice", role: "user" },
  admin: { sub: "root", role: "admin" },
};

let token = newToken();
let events = 0;
let steady;

function newToken() {
  const made = new FreshToken(() => fetchToken(byId("lifetime").value));
  made.addEventListener("change", () => {
    byId("fetches").textContent = made.fetches;
    showTime();
  });
  return made;
}

async function fetchToken(seconds) {
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    // The secret of this client is public. A real page has a login (authorization code with PKCE).
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "quickstart",
      client_secret: "quickstart",
      claims: JSON.stringify(PEOPLE[byId("role").value]),
      expires_in: seconds,
    }),
  });
  if (!answer.ok) throw new Error(`the response of the issuer is ${answer.status}`);
  return answer.json();
}

async function call(path) {
  const base = byId("cross-origin").checked ? otherOrigin : location.origin;
  try {
    const response = await callApi(base + path, token, {
      cache: "no-store",
      onRetry: (why) => {
        count("retried");
        note(`GET ${path}: ${why} Trying again.`);
      },
    });
    count(response.ok ? "accepted" : "refused");
    note(`GET ${path}: ${response.ok ? response.status : `${response.status} ${descriptionOf(response)}`}`);
  } catch (error) {
    count("refused");
    note(`GET ${path}: ${error.message}`);
  }
}

function count(what) {
  byId(what).textContent = Number(byId(what).textContent) + 1;
}

function note(text) {
  events += 1;
  const item = document.createElement("li");
  item.dataset.n = events;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  const said = document.createElement("span");
  said.textContent = text;
  item.append(time, " ", said);
  byId("events").prepend(item);
  while (byId("events").children.length > LONGEST_LIST) byId("events").lastChild.remove();
}

function showTime() {
  const { left } = token;
  byId("left").textContent = left ? `in ${Math.ceil(left)} s` : "when it is needed";
}

for (const button of document.querySelectorAll("[data-path]")) {
  button.addEventListener("click", () => call(button.dataset.path));
}
byId("ten").addEventListener("click", () => Promise.all(Array.from({ length: 10 }, () => call("/me"))));
byId("steady").addEventListener("change", () => {
  clearInterval(steady);
  if (byId("steady").checked) steady = setInterval(call, STEADY_MS, "/me");
});
for (const id of ["role", "lifetime"]) {
  // The next token has another subject or lifetime.
  byId(id).addEventListener("change", () => token.spoil());
}
byId("spoil").addEventListener("click", async () => {
  // As after a night in standby: the client assumes that its token is valid for a while.
  const { access_token: text } = await fetchToken(-60);
  token.hold({ access_token: text, expires_in: 60 });
  note("an expired token is held as valid");
});
byId("rotate").addEventListener("click", async () => {
  const answer = await fetch(`${issuer}/rotate`, { method: "POST" });
  if (!answer.ok) return note(`${answer.status}`);
  // The API fetches the new key when it gets a token that was signed with it. Here another client sends the first one.
  const { access_token: text } = await fetchToken(60);
  const { ok } = await fetch("/me", { headers: { Authorization: `Bearer ${text}` }, cache: "no-store" });
  note(`the issuer has withdrawn its key, and the API ${ok ? "knows" : "does not know yet: it fetches keys at most once in 10 s"}`);
});
byId("who").addEventListener("submit", (event) => event.preventDefault());

byId("other-origin").textContent = otherOrigin;
setInterval(showTime, 1000);
document.body.dataset.ready = "";
