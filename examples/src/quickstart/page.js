// The script of the page: creates tokens, breaks them, sends them, and logs the responses.

const issuer = document.body.dataset.issuer;
const TIMEOUT_MS = 15_000;
const PRESETS = {
  user: { sub: "alice", role: "user" },
  admin: { sub: "root", role: "admin" },
};

const byId = (id) => document.getElementById(id);
const otherOrigin = (() => {
  const url = new URL(location.origin);
  url.hostname = url.hostname === "localhost" ? "127.0.0.1" : "localhost";
  return url.origin;
})();

/** All tokens: { id, text, header, claims }; a broken copy also has { broken, of, changedAt }. */
const tokens = [];
let currentKid;

// Elements

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== false));
  return made;
}

/** Shows JSON with highlighted member names. */
function showJson(target, value) {
  const parts = JSON.stringify(value, null, 2).split(/^(\s*"(?:[^"\\]|\\.)*")(?=:)/m);
  target.replaceChildren(
    ...parts.map((part, index) => (index % 2 ? element("span", { class: "member" }, part) : part)),
  );
}

// Tokens

function decodePart(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
    c.charCodeAt(0),
  );
  return JSON.parse(new TextDecoder().decode(bytes));
}

function addToken(text, rest = {}) {
  const [header, claims] = text.split(".").slice(0, 2).map(decodePart);
  const token = { id: String(tokens.length + 1), text, header, claims, ...rest };
  tokens.push(token);
  const input = element("input", { type: "radio", name: "token", value: token.id });
  const label = element(
    "label",
    { class: "choice", "data-token-id": token.id },
    input,
    element("span", { class: "name" }, nameOf(token)),
    element("span", { class: "state" }),
  );
  byId("minted").prepend(label);
  input.checked = true;
  label.scrollIntoView({ block: "nearest" });
  showSelection();
}

function nameOf({ id, claims, broken, of }) {
  if (broken) return `#${id} broken copy of #${of}`;
  const who = [claims.sub, claims.role].filter((word) => typeof word === "string");
  return [`#${id}`, ...new Set(who)].join(" ");
}

/** Returns the probable state of a token. The API decides. */
function stateOf(token) {
  if (token.broken) return "broken";
  const left = secondsLeft(token);
  if (left !== undefined && left <= 0) return "expired";
  if (currentKid !== undefined && token.header.kid !== currentKid) return "old-key";
  return "valid";
}

function secondsLeft({ claims }) {
  return Number.isFinite(claims.exp) ? Math.ceil(claims.exp - Date.now() / 1000) : undefined;
}

function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 60) return `${size} s`;
  if (size < 3600) return `${Math.floor(size / 60)} min ${size % 60} s`;
  return `${Math.floor(size / 3600)} h ${Math.floor((size % 3600) / 60)} min`;
}

function remaining(token) {
  const left = secondsLeft(token);
  if (left === undefined) return "no expiry";
  return left > 0 ? `${duration(left)} left` : `expired ${duration(left)} ago`;
}

/** Changes a character in the middle of the signature, because the last one has unused bits. */
function breakSignature(text) {
  const at = text.lastIndexOf(".") + 20;
  return { text: text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1), at };
}

/** Returns the selected token, and its state for the log. */
function selection() {
  const value = document.querySelector("input[name=token]:checked").value;
  if (value === "none") return { state: "none" };
  if (value === "garbage") return { state: "broken", text: byId("garbage").value };
  const token = tokens[Number(value) - 1];
  return { state: stateOf(token), text: token.text, token };
}

function showSelection() {
  const { text, token } = selection();
  byId("decoded").hidden = !token;
  if (token) {
    showEncoded(token);
    showJson(byId("token-header"), token.header);
    showJson(byId("token-claims"), token.claims);
    byId("broken-note").hidden = !token.broken;
    byId("break").hidden = Boolean(token.broken);
  }
  showCurl(text);
  showTime();
}

function showEncoded({ text, changedAt }) {
  const [header, claims, signature] = text.split(".");
  const changed = changedAt === undefined ? undefined : changedAt - header.length - claims.length - 2;
  byId("encoded").replaceChildren(
    element("span", { class: "part-header" }, header),
    ".",
    element("span", { class: "part-claims" }, claims),
    ".",
    ...(changed === undefined
      ? [element("span", { class: "part-signature" }, signature)]
      : [
          element("span", { class: "part-signature" }, signature.slice(0, changed)),
          element("mark", {}, signature[changed]),
          element("span", { class: "part-signature" }, signature.slice(changed + 1)),
        ]),
  );
}

/** Updates the remaining times, once a second and after every change. */
function showTime() {
  for (const token of tokens) {
    const label = document.querySelector(`[data-token-id="${token.id}"]`);
    const state = stateOf(token);
    label.dataset.state = state;
    label.querySelector(".state").textContent = state === "valid" ? remaining(token) : state.replace("-", " ");
  }
  const { token } = selection();
  byId("token-remaining").textContent = token ? remaining(token) : "";
}

function showCurl(text) {
  const quote = (word) => `'${word.replaceAll("'", String.raw`'\''`)}'`;
  const authorization =
    text === undefined ? '"Authorization: Bearer $TOKEN"' : quote(`Authorization: Bearer ${text}`);
  byId("curl").textContent = [
    `curl -iN --http1.1 --max-time 3 ${location.origin}/ws`,
    "-H 'Connection: Upgrade' -H 'Upgrade: websocket'",
    "-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='",
    `-H ${authorization}`,
  ].join(" \\\n  ");
  byId("curl-note").textContent =
    text === undefined
      ? "Choose a token in step 2. It replaces $TOKEN."
      : "The token is that of step 2. With a valid one, the response is 101 and a greeting.";
}

// Attempts

let attempts = 0;

/** Adds an entry at the top of the log. The returned function completes it with the response. */
function startEntry({ method, route, state, token, cross }) {
  byId("log-empty").hidden = true;
  byId("clear").hidden = false;
  attempts += 1;
  const began = performance.now();
  const status = element("strong", { class: "status" }, "…");
  const sent = state && (state === "none" ? "no token" : `${state} token`);
  const meta = element(
    "p",
    { class: "meta" },
    sent && element("span", { class: "sent" }, token ? `${sent} #${token.id}` : sent),
    cross && element("span", {}, "cross-origin"),
  );
  const entry = element(
    "li",
    {
      "data-n": attempts,
      "data-state": "pending",
      "data-method": method,
      "data-route": route,
      "data-token": state,
      "data-origin": cross ? "cross" : "same",
    },
    element("p", { class: "line" }, status, element("code", {}, `${method} ${route}`)),
    meta,
  );
  byId("log").prepend(entry);

  return ({ code, outcome, phrase, fields = [], body }) => {
    status.textContent = code;
    if (phrase) status.after(element("span", { class: "phrase" }, phrase));
    meta.append(
      element("time", {}, new Date().toLocaleTimeString([], { hour12: false })),
      element("span", {}, `${Math.round(performance.now() - began)} ms`),
    );
    if (fields.length) {
      const list = element("dl");
      for (const [name, value] of fields) {
        list.append(element("dt", {}, name), element("dd", { "data-field": name }, value));
      }
      entry.append(list);
    }
    if (body) entry.append(element("pre", { class: "code body" }, body));
    Object.assign(entry.dataset, { status: code, outcome, state: "done" });
    byId("announcement").textContent = `${method} ${route}: ${code} ${phrase ?? ""}`;
  };
}

async function send(url, options) {
  const response = await fetch(url, {
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...options,
  });
  return { response, text: await response.text() };
}

function answerOf({ response, text }) {
  const fields = ["WWW-Authenticate", "Retry-After"]
    .map((name) => [name, response.headers.get(name)])
    .filter(([, value]) => value !== null);
  return {
    code: String(response.status),
    phrase: response.statusText,
    outcome: response.ok ? "accepted" : "refused",
    fields,
    body: readable(response.headers.get("Content-Type") ?? "", text),
  };
}

/** Returns all that a browser reports to scripts about a failure. */
function failure(error) {
  return { code: "failed", outcome: "failed", body: `${error.name}: ${error.message}` };
}

function readable(type, text) {
  if (type.startsWith("text/html")) return `${text.length} characters of HTML: this page`;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function call(route) {
  const cross = byId("cross-origin").checked;
  const base = cross ? otherOrigin : location.origin;
  if (route === "/ws") return openWebSocket(base, cross);
  const { state, text, token } = selection();
  const finish = startEntry({ method: "GET", route, state, token, cross });
  try {
    const headers = text === undefined ? {} : { Authorization: `Bearer ${text}` };
    const answer = answerOf(await send(base + route, { headers }));
    if (state === "valid" && answer.body.includes("signature is not accepted")) {
      answer.fields.push(["Perhaps", "The API fetched keys less than 10 seconds ago. Try again."]);
    }
    finish(answer);
  } catch (error) {
    finish(failure(error));
  }
}

/** The form of a subprotocol (RFC 9110 §5.6.2). Browsers accept no other. */
const HTTP_TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

function openWebSocket(base, cross) {
  const { state, text, token } = selection();
  const finish = startEntry({ method: "WebSocket", route: "/ws", state, token, cross });
  if (text !== undefined && !HTTP_TOKEN.test(text)) {
    return finish({ code: "failed", outcome: "failed", body: "This text cannot be a subprotocol: the browser does not send it." });
  }
  const protocols = text === undefined ? [] : ["bearer", text];
  const socket = new WebSocket(`${base.replace("http", "ws")}/ws`, protocols);
  const timer = setTimeout(() => socket.close(), TIMEOUT_MS);
  const heard = [];
  let opened = false;
  socket.onopen = () => (opened = true);
  socket.onmessage = ({ data }) => {
    heard.push(data);
    // One message is enough.
    socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => {
    clearTimeout(timer);
    finish({
      code: String(code),
      phrase: reason,
      outcome: code === 1006 ? "failed" : code === 1000 ? "accepted" : "refused",
      fields: [
        ["Opened", opened ? "yes" : "no"],
        ...(socket.protocol ? [["Protocol", socket.protocol]] : []),
        ["Close code", String(code)],
        ["Close reason", reason || "none"],
      ],
      body: heard.join("\n"),
    });
  };
}

/** Sends a POST to the issuer. Returns the JSON of the response, or undefined after an error. */
async function post(path, parameters) {
  const finish = startEntry({ method: "POST", route: path });
  try {
    const answer = await send(issuer + path, {
      method: "POST",
      body: parameters && new URLSearchParams(parameters),
    });
    const { response, text } = answer;
    const json = response.ok ? JSON.parse(text) : undefined;
    const outcome = answerOf(answer);
    // Step 2 shows the token.
    finish(json?.access_token ? { ...outcome, body: undefined } : outcome);
    return json;
  } catch (error) {
    finish(failure(error));
  }
}

// Controls

function complain(id, problem) {
  byId(`${id}-error`).textContent = problem;
  byId(id).setAttribute("aria-invalid", String(Boolean(problem)));
}

function claimsProblem() {
  try {
    const claims = JSON.parse(byId("claims").value || "{}");
    if (claims !== null && typeof claims === "object" && !Array.isArray(claims)) return "";
    return "This is JSON, but not an object.";
  } catch (error) {
    return `This is not JSON: ${error.message}`;
  }
}

function lifetimeProblem() {
  const { value, validity } = byId("lifetime");
  return value !== "" && validity.valid ? "" : "A whole number, at most a day (86400).";
}

function check() {
  complain("claims", claimsProblem());
  complain("lifetime", lifetimeProblem());
  return document.querySelector("#mint-form [aria-invalid=true]");
}

function preset(name) {
  byId("claims").value = JSON.stringify(PRESETS[name], null, 2);
  check();
}

byId("mint-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = check();
  if (wrong) return wrong.focus();
  const scope = byId("scope").value.trim();
  const answer = await post("/token", {
    grant_type: "client_credentials",
    client_id: "quickstart",
    client_secret: "quickstart",
    claims: byId("claims").value || "{}",
    expires_in: byId("lifetime").value,
    ...(scope && { scope }),
  });
  if (answer) addToken(answer.access_token);
});

byId("rotate").addEventListener("click", async () => {
  const answer = await post("/rotate");
  if (answer) showKid(answer.kid);
});

byId("break").addEventListener("click", () => {
  const { token } = selection();
  const { text, at } = breakSignature(token.text);
  addToken(text, { broken: true, of: token.id, changedAt: at });
});

byId("clear").addEventListener("click", () => {
  byId("log").replaceChildren();
  byId("log-empty").hidden = false;
  byId("clear").hidden = true;
});

byId("garbage").addEventListener("focus", () => {
  document.querySelector("input[name=token][value=garbage]").checked = true;
  showSelection();
});
byId("garbage").addEventListener("input", showSelection);
byId("tokens").addEventListener("change", showSelection);
byId("mint-form").addEventListener("input", check);

for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => preset(button.dataset.preset));
}
for (const button of document.querySelectorAll("[data-lifetime]")) {
  button.addEventListener("click", () => {
    byId("lifetime").value = button.dataset.lifetime;
    check();
  });
}
for (const button of document.querySelectorAll("button[data-route]")) {
  button.addEventListener("click", () => call(button.dataset.route));
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}

function showKid(kid) {
  currentKid = kid;
  byId("kid").textContent = kid;
  showTime();
}

byId("api").textContent = location.origin;
byId("other-origin").textContent = otherOrigin;
preset("user");
showSelection();
setInterval(showTime, 1000);
send(`${issuer}/jwks.json`)
  .then(({ text }) => showKid(JSON.parse(text).keys[0].kid))
  .catch(() => (byId("kid").textContent = "unknown: the issuer does not respond"));
document.body.dataset.ready = "";
