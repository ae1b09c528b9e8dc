// Introspection at an issuer of another make, Authlib: `node --test introspection-python.test.mjs`. Needs Python with
// venv, and installs introspection-requirements.txt. Build first: `cargo build -p oauth2-actix-examples`.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TEST, WAIT_MS } from "./limits.mjs";
import { startApi, stopApis } from "./oidc-api.mjs";
import { request } from "./oidc-requests.mjs";
import { targetDirectory } from "./programs.mjs";

const API = "https://api.example.test";
const ISSUER = "https://issuer.example.test";
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

let child;
let url;

before(async () => {
  child = spawn(python(), [here("introspection-issuer.py")], { stdio: ["ignore", "pipe", "ignore"] });
  child.stdout.setEncoding("utf8");
  const [text] = await once(child.stdout, "data", { signal: AbortSignal.timeout(WAIT_MS) });
  url = text.trim();
}, TEST);
after(async () => {
  await stopApis();
  child?.kill("SIGKILL");
}, TEST);
process.on("exit", () => child?.kill("SIGKILL"));

for (const method of ["client_secret_basic", "client_secret_post"]) {
  test(`token is accepted with ${method}, and gets the issuer that the answer lacks`, TEST, async () => {
    const api = await startApi(asking({ method }));
    const answer = await get(api, await issue("web-app"));
    assert.equal(answer.status, 200, answer.text + api.output());
    const { claims } = JSON.parse(answer.text);
    assert.deepEqual([claims.iss, claims.sub, claims.aud], [ISSUER, "ann", [API, "another"]]);
  });
}

test("token of another audience, unknown one and wrong secret are not accepted", TEST, async () => {
  const api = await startApi(asking({}));
  assert.equal((await get(api, await issue("other-app"))).status, 401);
  assert.equal((await get(api, "unknown")).status, 401);
  const wrong = await startApi(asking({ client_secret: "wrong" }));
  assert.equal((await get(wrong, await issue("web-app"))).status, 503);
});

test("revoked token is rejected once its answer is too old", TEST, async () => {
  const api = await startApi(asking({}, { cache_seconds: 1 }));
  const token = await issue("web-app");
  assert.equal((await get(api, token)).status, 200);
  const revoked = await post("/revoke", { token, ...credentials("web-app") });
  assert.equal(revoked.status, 200, revoked.text);
  await pause(1000);
  assert.equal((await get(api, token)).status, 401);
});

const credentials = (client) => ({ client_id: client, client_secret: `secret-of-${client}` });
const get = (api, token) => request(`${api.url}/me`, { headers: { authorization: `Bearer ${token}` } });

function asking(authentication, introspection = {}) {
  const client_authentication = { method: "client_secret_basic", ...credentials("api"), ...authentication };
  const settings = { endpoint: `${url}/introspect`, client_authentication, ...introspection };
  return { providers: { python: { issuer: ISSUER, audience: [API], introspection: settings } } };
}

async function issue(client) {
  const answer = await post("/token", { grant_type: "client_credentials", scope: "orders:read", ...credentials(client) });
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text).access_token;
}

function post(where, form) {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return request(`${url}${where}`, { method: "POST", headers, body: new URLSearchParams(form).toString() });
}

/** Returns the Python that has the pinned packages. */
function python() {
  const environment = path.join(targetDirectory(), "introspection-python");
  const [program, requirements] = [path.join(environment, "bin", "python"), here("introspection-requirements.txt")];
  // A copy of the versions that are installed, written last.
  const installed = path.join(environment, "installed.txt");
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(requirements, "utf8")) {
    const run = (command, ...options) => execFileSync(command, options, { stdio: ["ignore", "ignore", "inherit"] });
    run("python3", "-m", "venv", "--clear", environment);
    run(program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements);
    copyFileSync(requirements, installed);
  }
  return program;
}
