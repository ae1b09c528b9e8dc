// The page of the chat: selects a token and a room, and shows the lines.

import { FreshToken } from "/app/fresh-token.js";
import { LiveSession } from "/chat/live-session.js";

const LONGEST_LIST = 200;

const issuer = document.body.dataset.issuer;
const byId = (id) => document.getElementById(id);

let session;
let attempts = 0;

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Fetches a token with the present values of the form. */
async function fetchToken() {
  const scopes = Array.from(document.querySelectorAll("input[name=scope]:checked"), (box) => box.value);
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    // The secret of this client is public. A real page has a login (authorization code with PKCE).
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "quickstart",
      client_secret: "quickstart",
      claims: JSON.stringify({ sub: byId("name").value || "anonymous" }),
      expires_in: byId("lifetime").value,
      ...(scopes.length && { scope: scopes.join(" ") }),
    }),
  });
  if (!answer.ok) throw new Error(`the response of the issuer is ${answer.status}`);
  return answer.json();
}

function join(room) {
  session?.stop();
  byId("lines").replaceChildren();
  const url = `${location.origin.replace("http", "ws")}/chat/rooms/${room}`;
  const joined = new LiveSession(url, new FreshToken(fetchToken), { renews: byId("renews").checked });
  session = joined;
  press(room);
  byId("leave").disabled = false;
  note(`joining ${room}`);
  joined.addEventListener("state", ({ detail }) => {
    if (session !== joined) return;
    note([detail.state, detail.why].filter(Boolean).join(": "));
    showState(detail);
  });
  joined.addEventListener("message", ({ detail }) => session === joined && hear(detail));
}

/** Marks the room of the session, or of its rejection. Without an argument: no room. */
function press(room) {
  for (const button of document.querySelectorAll("[data-room]")) {
    button.setAttribute("aria-pressed", String(button.dataset.room === room));
  }
}

function showState({ state, why }) {
  byId("state").textContent = state;
  byId("state").dataset.state = state;
  byId("why").textContent = state === "open" ? "" : why;
  const isOpen = state === "open";
  byId("text").disabled = byId("send").disabled = !isOpen;
  if (isOpen) byId("text").focus();
  if (state === "stopped") byId("leave").disabled = true;
  if (state === "stopped" && !why) press();
}

function hear(message) {
  if (message.welcome) note(`welcome ${message.welcome.name}, for ${message.welcome.seconds} s`);
  if (message.renewed) note(`renewed, for ${message.renewed.seconds} s`);
  if (message.not_renewed) note(`not renewed: ${message.not_renewed}`);
  if (message.missed) note(`${message.missed} lines missed`);
  if (message === "not_understood") note("the API did not understand that");
  if (message.said) {
    const { name, text } = message.said;
    append(byId("lines"), element("li", {}, element("b", {}, name), " ", text));
  }
}

function append(list, item) {
  list.append(item);
  while (list.children.length > LONGEST_LIST) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

function note(text) {
  attempts += 1;
  const time = new Date().toLocaleTimeString([], { hour12: false });
  byId("events").prepend(element("li", { "data-n": attempts }, element("time", {}, time), " ", element("span", {}, text)));
  while (byId("events").children.length > LONGEST_LIST) byId("events").lastChild.remove();
}

for (const button of document.querySelectorAll("[data-room]")) {
  button.addEventListener("click", () => join(button.dataset.room));
}
byId("leave").addEventListener("click", () => session?.stop());
byId("renews").addEventListener("change", () => {
  if (session) session.renews = byId("renews").checked;
});
byId("who").addEventListener("submit", (event) => event.preventDefault());
byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const say = byId("text").value.trim();
  if (say && session?.send({ say })) byId("text").value = "";
});

document.body.dataset.ready = "";
