// Fetches /status with a token of the API's own provider, and shows a row for each source of keys.

const issuer = document.body.dataset.issuer;
const element = (id) => document.getElementById(id);

let token;

/** Returns an operator's token. A real page gets it by its login. */
async function freshToken() {
  const form = { grant_type: "client_credentials", client_id: "quickstart", client_secret: "quickstart", scope: "operations" };
  const response = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
  if (!response.ok) throw new Error(`the response of the identity provider is ${response.status}`);
  return (await response.json()).access_token;
}

/** Sends a request with the token, and with a new one if it has expired. */
async function call(method, path) {
  token ??= await freshToken();
  const send = () => fetch(path, { method, headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  let response = await send();
  if (response.status === 401) {
    token = await freshToken();
    response = await send();
  }
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
  return response;
}

function duration(seconds) {
  if (seconds == null) return "–";
  const units = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [name, size] = units[first];
  const text = `${Math.floor(seconds / size)} ${name}`;
  const next = units[first + 1];
  const rest = next && Math.floor((seconds % size) / next[1]);
  return rest ? `${text} ${rest} ${next[0]}` : text;
}

const MOODS = { inline: "good", fresh: "good", failing: "warn", initial: "warn", snapshot: "warn", unavailable: "bad" };

function cell(label, ...lines) {
  const td = document.createElement("td");
  td.dataset.label = label;
  const box = document.createElement("div");
  for (const line of lines) {
    if (!line) continue;
    const part = document.createElement("div");
    part.append(line);
    box.append(part);
  }
  td.append(box);
  return td;
}

function small(text, className = "hint") {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = text;
  return span;
}

function badge(state) {
  const span = document.createElement("span");
  span.className = "badge";
  span.dataset.mood = MOODS[state] ?? "";
  span.textContent = state.replace("_", " ");
  return span;
}

function row(source) {
  const { succeeded, not_modified: notModified, failed } = source.fetches;
  const error = source.last_error && `${new Date(source.last_error.at * 1000).toLocaleTimeString()}: ${source.last_error.cause}`;
  const name = document.createElement("strong");
  name.textContent = source.provider;
  const keys = source.keys.map(({ kid, algorithms }) => {
    const code = document.createElement("code");
    code.textContent = `${kid ?? "no kid"} ${algorithms.join(" ")}`;
    return code;
  });
  const tr = document.createElement("tr");
  tr.append(
    cell("Provider", name, source.tenant && small("tenant"), small(source.source)),
    cell("State", badge(source.state), error && small(error, "problem")),
    cell("Keys", ...(keys.length ? keys : ["none"])),
    cell("Age", duration(source.age_seconds)),
    cell("Next fetch", source.next_refresh_seconds == null ? "–" : `in ${duration(source.next_refresh_seconds)}`),
    cell("Usable for", duration(source.stale_in_seconds)),
    cell("Fetches", `${succeeded} succeeded`, `${notModified} not modified`, `${failed} failed`),
  );
  return tr;
}

async function update() {
  try {
    const [status, ready] = await Promise.all([
      call("GET", "/status").then((response) => response.json()),
      fetch("/health/ready", { cache: "no-store" }),
    ]);
    element("rows").replaceChildren(...status.map(row));
    element("ready").textContent = ready.ok ? "ready" : "not ready";
    element("ready").dataset.mood = ready.ok ? "good" : "bad";
    element("problem").textContent = "";
  } catch (error) {
    element("problem").textContent = error.message;
  }
}

element("refresh").addEventListener("click", async () => {
  element("refresh").disabled = true;
  try {
    await call("POST", "/refresh");
    await update();
  } catch (error) {
    element("problem").textContent = error.message;
  } finally {
    element("refresh").disabled = false;
  }
});

await update();
setInterval(update, 5000);
