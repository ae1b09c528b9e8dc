// The quickstart as a child process, on ports of its own.

import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

import { WAIT_MS } from "./limits.mjs";
import { request } from "./oidc-requests.mjs";
import { program } from "./programs.mjs";

const BINARY = program("quickstart", "QUICKSTART");
/** The last line that it prints, once both servers listen. */
const READY = "Ctrl-C ends it.";

const children = new Set();

// The child processes end with this process.
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => process.exit(1));
}

/** Starts it, and returns it once both servers listen. A test clock moves only by `advance`. */
export async function startQuickstart({ testClock = false } = {}) {
  // Another process may take a free port before it is used.
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const port = await freePortPair();
    const quickstart = launch(port, testClock ? ["--test-clock"] : []);
    try {
      if (await ready(quickstart, port)) return quickstart;
    } catch (error) {
      await quickstart.stop();
      throw error;
    }
  }
  throw new Error("no two consecutive free ports");
}

/** Runs it to its end. For a start that must fail. */
export async function runToEnd(port) {
  const quickstart = launch(port);
  const timer = setTimeout(quickstart.stop, WAIT_MS);
  await quickstart.ended;
  clearTimeout(timer);
  const { child } = quickstart;
  return { code: child.exitCode, signal: child.signalCode, output: quickstart.output() };
}

/** Returns the first of two consecutive free ports, below those that systems assign. */
export async function freePortPair() {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = randomInt(15_000, 32_000);
    const held = [];
    try {
      held.push(await occupy(port));
      held.push(await occupy(port + 1));
      return port;
    } catch {
      // One of the ports is taken.
    } finally {
      for (const server of held) await server.release();
    }
  }
  throw new Error("no two consecutive free ports");
}

/** Listens on a port of 127.0.0.1. */
export async function occupy(port) {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { release: () => new Promise((done) => server.close(done)) };
}

function launch(port, options = []) {
  const words = ["--port", String(port), ...options];
  const child = spawn(BINARY, words, { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  }
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).finally(() => children.delete(child));
  // An error also rejects the promise of each caller that awaits it. A caller need not await it.
  ended.catch(() => {});
  const url = `http://127.0.0.1:${port}`;
  const issuer = `http://127.0.0.1:${port + 1}`;
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  /** Starts it again on the same ports after `stop`, with other keys. */
  const restart = async () => {
    const next = launch(port, options);
    Object.assign(quickstart, next, { restart });
    if (!(await ready(next, port))) throw new Error(`port ${port} was taken in the meantime`);
  };
  /** Advances its test clock, which must be enabled. */
  const advance = async (seconds) => {
    const answer = await request(`${issuer}/__clock/advance?seconds=${seconds}`, { method: "POST" });
    if (answer.status !== 200) throw new Error(`the clock answers ${answer.status}, expected 200`);
  };
  const quickstart = { child, url, issuer, ended, output: () => output, stop, restart, advance };
  return quickstart;
}

/** Returns whether it is ready, and false if another process has taken a port. */
async function ready(quickstart, port) {
  const { child, output } = quickstart;
  let timer;
  const listening = new Promise((resolve) => {
    timer = setTimeout(resolve, WAIT_MS);
    child.stdout.on("data", () => output().includes(READY) && resolve());
  });
  await Promise.race([listening, quickstart.ended]);
  clearTimeout(timer);
  if (output().includes(READY)) return true;
  if (output().includes("is taken")) return false;
  throw new Error(`the quickstart on port ${port} does not start: ${output()}`);
}
