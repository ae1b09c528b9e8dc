// The client of `docs/dpop.md` against the program of the page, the example `dpop`: `node --test dpop-docs.test.mjs`.
// Build first: `cargo build -p oauth2-actix-examples --examples`. The environment variable DPOP_EXAMPLE names another
// binary. The page has the port 8080, which must be free.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { TEST, WAIT_MS } from "./limits.mjs";
import { program } from "./programs.mjs";

const PAGE = readFileSync(new URL("../docs/dpop.md", import.meta.url), "utf8");
/** Returns the first block of a language after this heading. */
const block = (heading, language) => PAGE.split(heading)[1].split(`\`\`\`${language}\n`)[1].split("```")[0];

test("the client of the page prints what the page says", TEST, async () => {
  const heading = "## From an empty folder to a bound token";
  const server = spawn(program("examples/dpop", "DPOP_EXAMPLE"), {
    env: { ...process.env, NONCE_SECRET: randomBytes(32).toString("hex") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (log += text));
  }
  const ended = once(server, "close");
  const listening = new Promise((resolve) => {
    server.stdout.on("data", () => log.includes("listening on: 127.0.0.1:8080") && resolve());
  });
  try {
    const signal = AbortSignal.timeout(WAIT_MS);
    const late = once(signal, "abort");
    await Promise.race([listening, ended, late]);
    assert.equal(server.exitCode, null, `the port 8080 must be free: ${log}`);
    assert.ok(!signal.aborted, log);
    const options = { cwd: fileURLToPath(new URL(".", import.meta.url)), timeout: WAIT_MS };
    const words = ["--input-type=module", "--eval", block(heading, "js")];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, words, options);
    assert.equal(stdout, block(heading, "text"), `${stderr}${log}`);
    assert.doesNotMatch(log, /eyJ/, "no token and no proof is in the log");
  } finally {
    server.kill("SIGKILL");
    await ended;
  }
});
