// The API under test: the `configured` example as a child process.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { WAIT_MS } from "./limits.mjs";
import { program } from "./programs.mjs";

const BINARY = program("configured", "CONFIGURED");

/** All processes that were started. */
export const apis = [];

const directory = mkdtempSync(path.join(tmpdir(), "oauth2-actix-oidc-"));

// The child processes end with this process.
process.on("exit", () => {
  for (const { child } of apis) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => process.exit(1));
}

/** Starts the API with a policy, and returns it once it listens. Port 0: the system chooses a port. */
export async function startApi(oauth2, settings = {}, port = 0, binary = BINARY) {
  const api = launch(oauth2, settings, port, binary);
  const url = await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${why.message ?? why}: ${api.output()}`));
    const timer = setTimeout(fail, WAIT_MS, "the API does not listen");
    api.child.stdout.on("data", () => {
      const listening = /^listening on (http:\/\/127\.0\.0\.1:\d+)$/m.exec(api.stdout);
      if (!listening) return;
      clearTimeout(timer);
      resolve(listening[1]);
    });
    api.ended.then(([code]) => {
      clearTimeout(timer);
      fail(`the API ended with ${code}`);
    }, fail);
  });
  return Object.assign(api, { url, webSocketUrl: url.replace("http:", "ws:") });
}

/** Starts the API with a policy that it must reject. Returns { code, stdout, stderr }. */
export async function rejectedStart(oauth2) {
  const api = launch(oauth2);
  const timer = setTimeout(() => api.child.kill("SIGKILL"), WAIT_MS);
  const [code] = await api.ended;
  clearTimeout(timer);
  return { code, stdout: api.stdout, stderr: api.stderr };
}

/** Ends all APIs, and waits until all of their output has arrived. */
export async function stopApis() {
  for (const { child } of apis) child.kill("SIGKILL");
  await Promise.allSettled(apis.map(({ ended }) => ended));
}

function launch(oauth2, settings = {}, port = 0, binary = BINARY) {
  const file = path.join(directory, `policy-${apis.length}.json`);
  writeFileSync(file, JSON.stringify({ oauth2, ...settings }));
  const child = spawn(binary, [file, "--port", String(port)], { stdio: ["ignore", "pipe", "pipe"] });
  const api = { child, stdout: "", stderr: "", output: () => api.stdout + api.stderr };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8");
    child[name].on("data", (text) => (api[name] += text));
  }
  // "close" is emitted after both streams have ended. An error rejects the promise.
  api.ended = once(child, "close");
  api.ended.catch(() => {});
  apis.push(api);
  return api;
}
