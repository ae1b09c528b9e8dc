// Back-channel logout of a certified OpenID provider (`oidc-provider`): a user who logs out there loses the WebSocket and
// the access token at the API. `node --test logout.test.mjs`. Build first: `cargo build -p oauth2-actix-examples
// --example logout`. The environment variable LOGOUT names another binary.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import WebSocket from "ws";

import { TEST, WAIT_MS } from "./limits.mjs";
import { IdentityProvider, WEB_APP, freePort, generateKeys } from "./oidc-identity-provider.mjs";
import { request } from "./oidc-requests.mjs";
import { program } from "./programs.mjs";

const provider = new IdentityProvider();
let api;
let url;
let output = "";

before(async () => {
  const port = await freePort();
  provider.logoutUri = `http://127.0.0.1:${port}/backchannel-logout`;
  await provider.start(await generateKeys());
  const binary = program("examples/logout", "LOGOUT");
  api = spawn(binary, [provider.issuer, WEB_APP, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => api.kill("SIGKILL"));
  url = `http://127.0.0.1:${port}`;
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the API does not listen: ${output}`)), WAIT_MS);
    api.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (!output.includes(`listening on ${url}`)) return;
      clearTimeout(timer);
      resolve();
    });
  });
});

after(async () => {
  api.kill("SIGKILL");
  await provider.stop();
});

/** Opens a session and returns the promise of its close. */
async function open(token) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/echo`, {
    headers: { authorization: `Bearer ${token}` },
    handshakeTimeout: WAIT_MS,
  });
  await once(socket, "open", { signal: AbortSignal.timeout(WAIT_MS) });
  socket.send("hello");
  const [echo] = await once(socket, "message", { signal: AbortSignal.timeout(WAIT_MS) });
  assert.equal(echo.toString(), "hello");
  return { socket, closed: once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) }) };
}

const me = (token) => request(`${url}/me`, { headers: { authorization: `Bearer ${token}` } });

test("logout at the provider ends the WebSocket and the token of the session, and no other", TEST, async () => {
  const [ended, other] = [await provider.login(), await provider.login()];
  const sockets = [await open(ended.tokens.access_token), await open(other.tokens.access_token)];
  assert.equal((await me(ended.tokens.access_token)).status, 200);

  await provider.logout(ended);
  const [code, reason] = await sockets[0].closed.catch((error) => {
    throw new Error(`the session goes on: ${provider.logoutFailure} ${output}`, { cause: error });
  });
  assert.deepEqual([code, reason.toString()], [1008, "token revoked"]);
  const answer = await me(ended.tokens.access_token);
  assert.equal(answer.status, 401);
  assert.equal(JSON.parse(answer.text).error_description, "The token was revoked.");

  assert.equal((await me(other.tokens.access_token)).status, 200);
  assert.equal(sockets[1].socket.readyState, WebSocket.OPEN);
  sockets[1].closed.catch(() => {});
  sockets[1].socket.terminate();
});

test("user who logs in again gets a token that is accepted", TEST, async () => {
  const first = await provider.login();
  await provider.logout(first);
  const again = await provider.login();
  assert.equal((await me(again.tokens.access_token)).status, 200);
});
