// The MCP server under test: the example `mcp` as a child process.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { WAIT_MS } from "./limits.mjs";
import { program } from "./programs.mjs";

const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => process.exit(1));
}

/** Starts a process that ends with this one, and keeps its output. */
export function launch(command, options, settings = {}) {
  const child = spawn(command, options, { stdio: ["pipe", "pipe", "pipe"], ...settings });
  children.add(child);
  const process_ = { child, stdout: "", stderr: "", output: () => process_.stdout + process_.stderr };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8");
    child[name].on("data", (text) => (process_[name] += text));
  }
  process_.ended = once(child, "close").finally(() => children.delete(child));
  process_.ended.catch(() => {});
  return process_;
}

/** Ends a process, and waits until all of its output has arrived. */
export async function end({ child, ended }) {
  child.kill("SIGKILL");
  await ended;
}

/** Waits until the output of a process matches, and returns the match. */
export async function printed(process_, pattern) {
  const { promise, resolve, reject } = withResolvers();
  const fail = (why) => reject(new Error(`${why}: ${process_.output()}`));
  const timer = setTimeout(fail, WAIT_MS, `no ${pattern}`);
  const look = () => {
    const match = pattern.exec(process_.stdout);
    if (match) resolve(match);
  };
  process_.child.stdout.on("data", look);
  process_.ended.then(([code]) => fail(`ended with ${code}`), (error) => fail(error.message));
  look();
  return promise.finally(() => {
    clearTimeout(timer);
    process_.child.stdout.off("data", look);
  });
}

function withResolvers() {
  const resolvers = {};
  resolvers.promise = new Promise((resolve, reject) => Object.assign(resolvers, { resolve, reject }));
  return resolvers;
}

/** Starts the example with these environment variables, on a free port, and returns it once it listens. */
export async function startServer(variables = {}, binary = program("mcp", "MCP")) {
  const env = { ...process.env, PORT: "0", ...variables };
  const server = launch(binary, [], { env });
  await printed(server, /^Ctrl-C ends it\.$/m);
  const shown = (pattern) => pattern.exec(server.stdout)[1];
  return Object.assign(server, {
    resource: shown(/^MCP server: (\S+)$/m),
    issuer: shown(/^issuer: (\S+)$/m),
    origin: shown(/^listening on (\S+)$/m),
  });
}
