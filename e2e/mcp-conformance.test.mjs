// The server scenarios of the MCP conformance suite, each with a token, which a proxy adds: `rmcp` behind the policy of
// the example `mcp` must pass them as without it: `node --test mcp-conformance.test.mjs`. The environment variable
// CONFORMANCE names another server. The suite has no scenario for the authorization of a server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { TEST } from "./limits.mjs";
import { Proxy } from "./mcp-proxy.mjs";
import { end, launch, startServer } from "./mcp-server.mjs";
import { program } from "./programs.mjs";

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const FIRST = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
const NEXT = "node_modules/conformance-2026/dist/index.js";

/** The version of the suite, its options, and how many checks must pass at least. */
const RUNS = [
  ["0.1.16, all scenarios", FIRST, ["--suite", "all"], 46],
  ["0.2.0-alpha.11, all of 2025-11-25", NEXT, ["--suite", "all", "--spec-version", "2025-11-25"], 80],
  [
    "0.2.0-alpha.11, those that 2026-07-28 requires",
    NEXT,
    ["--requirements", "2026-07-28", "--expected-failures", here("mcp-conformance.yml")],
    120,
  ],
];

const proxy = new Proxy();
let server;

before(async () => {
  await proxy.start();
  const resource = `${proxy.origin}/mcp`;
  server = await startServer({ RESOURCE: resource }, program("examples/conformance", "CONFORMANCE"));
  proxy.target = server.origin;
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: "quickstart",
    client_secret: "quickstart",
    claims: JSON.stringify({ sub: "alice" }),
    scope: "mcp:use",
    expires_in: "3600",
  });
  const response = await fetch(`${server.issuer}/token`, { method: "POST", body });
  proxy.authorization = `Bearer ${(await response.json()).access_token}`;
}, TEST);

after(async () => {
  await proxy.stop();
  if (server) await end(server);
}, TEST);

for (const [name, suite, options, least] of RUNS) {
  test(name, TEST, async (t) => {
    const shim = ["--import", here("mcp-node20.mjs")];
    const command = [...shim, here(suite), "server", "--url", `${proxy.origin}/mcp`, ...options];
    const run = launch(process.execPath, command);
    t.after(() => end(run));
    const [code] = await run.ended;
    const summary = run.stdout.slice(run.stdout.indexOf("=== SUMMARY ==="));
    assert.equal(code, 0, summary);
    const [, passed] = /^Total: (\d+) passed/m.exec(summary) ?? assert.fail(run.output());
    assert.ok(Number(passed) >= least, summary);
  });
}

test("each request of the scenarios had its token checked", TEST, async () => {
  assert.ok(proxy.exchanges.length > 300, `${proxy.exchanges.length}`);
  assert.deepEqual(proxy.exchanges.filter(({ status }) => status === 401), []);
  const answer = await fetch(`${server.origin}/mcp`, { method: "POST" });
  assert.equal(answer.status, 401);
});
