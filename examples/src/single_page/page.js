// The page of the single-page client: makes calls, shows how they went.

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
    // This client's secret is known to everybody. A real page would sign its user in (authorization code with PKCE).
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "quickstart",
      client_secret: "quickstart",
      claims: JSON.stringify(PEOPLE[byId("role").value]),
      expires_in: seconds,
    }),
  });
  if (!answer.ok) throw new Error(`the issuer answers ${answer.status}`);
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
  // Somebody else's token, or another kind.
  byId(id).addEventListener("change", () => token.spoil());
}
byId("spoil").addEventListener("click", async () => {
  // As after a night with the lid closed: the client believes that its token is good for a while.
  const { access_token: text } = await fetchToken(-60);
  token.hold({ access_token: text, expires_in: 60 });
  note("an expired token is held to be good");
});
byId("rotate").addEventListener("click", async () => {
  const answer = await fetch(`${issuer}/rotate`, { method: "POST" });
  if (!answer.ok) return note(`${answer.status}`);
  // The API learns of it by a token that the new key signed. Here somebody else is the first to bring one.
  const { access_token: text } = await fetchToken(60);
  const { ok } = await fetch("/me", { headers: { Authorization: `Bearer ${text}` }, cache: "no-store" });
  note(`the issuer has withdrawn its key, and the API ${ok ? "knows" : "does not know yet: it fetches keys at most once in 10 s"}`);
});
byId("who").addEventListener("submit", (event) => event.preventDefault());

byId("other-origin").textContent = otherOrigin;
setInterval(showTime, 1000);
document.body.dataset.ready = "";
