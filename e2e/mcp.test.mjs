// The example `mcp` with real MCP clients and a certified OpenID provider: each client finds the issuer, registers,
// logs in, asks for more scopes and renews its token by itself: `node --test mcp.test.mjs`. Build first:
// `cargo build -p oauth2-actix-example-mcp --bins --examples`. The environment variables MCP and MCP_CLIENT name other
// binaries.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { TEST } from "./limits.mjs";
import { CLIENTS } from "./mcp-clients.mjs";
import { Issuer } from "./mcp-issuer.mjs";
import { Proxy } from "./mcp-proxy.mjs";
import { end, startServer } from "./mcp-server.mjs";
import { poll } from "./oidc-requests.mjs";

const FIRST_SCOPES = ["mcp:use", "orders:read"];
const ALL_SCOPES = [...FIRST_SCOPES, "refunds:write"];
const METADATA = "/.well-known/oauth-protected-resource/mcp";

const issuer = new Issuer();
const proxy = new Proxy();
let server;

before(async () => {
  await issuer.start();
  await proxy.start();
  issuer.resource = `${proxy.origin}/mcp`;
  server = await startServer({ ISSUER: issuer.url, RESOURCE: issuer.resource, LEEWAY_SECONDS: "0" });
  proxy.target = server.origin;
}, TEST);

after(async () => {
  await proxy.stop();
  await issuer.stop();
  if (server) await end(server);
}, TEST);

/** Connects a client, with nothing recorded before it. */
async function connect(t, client, lifetime = 600) {
  issuer.lifetime = lifetime;
  for (const record of [issuer.logins, issuer.grants, proxy.exchanges]) record.length = 0;
  const session = await client.connect(issuer.resource);
  t.after(() => session.close());
  return session;
}

/** Runs a server with its embedded issuer, for development, until the test ends. */
async function embedded(t) {
  const server = await startServer({ LEEWAY_SECONDS: "0" });
  t.after(() => end(server));
  return server.resource;
}

const sorted = (scopes) => [...scopes].sort();
const grantedScopes = ({ scope }) => sorted(scope.split(" ").filter((name) => !/^(openid|offline_access)$/.test(name)));

for (const client of CLIENTS) {
  test(client.name, TEST, async (t) => {
    await t.test("logs in: 401, metadata, issuer, registration, login, and calls tools", TEST, async (t) => {
      const session = await connect(t, client);
      const first = proxy.exchanges.find(({ path }) => path === "/mcp");
      assert.deepEqual([first.authorized, first.status], [false, 401]);
      assert.match(first.challenge, /^Bearer /);
      assert.ok(first.challenge.includes(`resource_metadata="${proxy.origin}${METADATA}"`), first.challenge);
      assert.match(first.challenge, /scope="mcp:use orders:read"/);
      assert.doesNotMatch(first.challenge, /error=/);
      const asked = proxy.exchanges.findIndex(({ path, status }) => path === METADATA && status === 200);
      const authorized = proxy.exchanges.findIndex((exchange) => exchange.authorized);
      assert.ok(asked > 0 && asked < authorized, `metadata ${asked}, first token ${authorized}`);

      assert.deepEqual(issuer.logins, ["alice"]);
      const [grant] = issuer.grants;
      assert.equal(grant.type, "authorization_code");
      assert.equal(grant.resource, issuer.resource);
      assert.deepEqual(grantedScopes(grant), FIRST_SCOPES);
      const { subject, client: id, scopes } = await session.call("whoami");
      assert.deepEqual([subject, id, sorted(scopes)], ["alice", grant.client, FIRST_SCOPES]);
      const { orders } = await session.call("list_orders");
      assert.deepEqual(orders.map(({ item }) => item), ["lamp", "chair", "desk"]);
      assert.deepEqual(issuer.logins, ["alice"]);
      if (session.version) assert.equal(session.version >= "2026", client.name.endsWith("2026-07-28"), session.version);
    });

    await t.test("steps up: 403 with the scope, a further login, and the call succeeds", TEST, async (t) => {
      const session = await connect(t, client);
      await session.call("whoami");
      if (!client.stepsUp) {
        // It renews its token instead, which adds no scope, and gives up.
        await assert.rejects(session.call("refund_order", { number: 1 }), /403/);
        assert.deepEqual(issuer.logins, ["alice"]);
        session.forgetRefreshToken();
        await session.call("whoami");
      }
      const { number, refunded } = await session.call("refund_order", { number: 1 });
      assert.deepEqual([number, refunded], [1, true]);
      const refused = proxy.exchanges.filter(({ status }) => status === 403);
      assert.ok(refused.length >= 1 && refused.length <= (client.stepsUp ? 1 : 3), `${refused.length}`);
      for (const { challenge, authorized } of refused) {
        assert.ok(authorized);
        assert.match(challenge, /^Bearer /);
        assert.match(challenge, /error="insufficient_scope"/);
        assert.match(challenge, /scope="[^"]*\brefunds:write\b[^"]*"/);
        assert.ok(challenge.includes(`resource_metadata="${proxy.origin}${METADATA}"`), challenge);
      }
      assert.deepEqual(issuer.logins, ["alice", "alice"]);
      assert.ok(issuer.grants.at(-1).scope.split(" ").includes("refunds:write"));
      const { scopes } = await session.call("whoami");
      if (client.stepsUp) assert.deepEqual(sorted(scopes), ALL_SCOPES);
      else assert.ok(scopes.includes("refunds:write"), `${scopes}`);
      assert.deepEqual(issuer.logins, ["alice", "alice"]);
    });

    await t.test("renews an expired token without a login", TEST, async (t) => {
      const session = await connect(t, client, 4);
      issuer.lifetime = 600;
      await session.call("whoami");
      const { token, at } = issuer.grants[0];
      const headers = { authorization: `Bearer ${token}` };
      const tried = () => fetch(`${server.origin}/mcp`, { method: "POST", headers });
      await poll(tried, ({ status }) => status === 401);
      // The client counts the lifetime from when it got the token.
      await poll(() => Date.now(), (now) => now > at + 6_000);
      const { orders } = await session.call("list_orders");
      assert.equal(orders.length, 3);
      assert.deepEqual(issuer.logins, ["alice"]);
      const [first, ...others] = issuer.grants.map(({ type }) => type);
      assert.equal(first, "authorization_code");
      assert.ok(others.length > 0 && others.every((type) => type === "refresh_token"), `${others}`);
    });
  });
}

test("the embedded issuer: each client logs in and steps up", TEST, async (t) => {
  const resource = await embedded(t);
  for (const client of CLIENTS) {
    await t.test(client.name, TEST, async (t) => {
      const session = await client.connect(resource);
      t.after(() => session.close());
      const { subject, scopes } = await session.call("whoami");
      assert.deepEqual([subject, sorted(scopes)], ["alice", FIRST_SCOPES]);
      assert.equal((await session.call("list_orders")).orders.length, 3);
      if (!client.stepsUp) session.forgetRefreshToken();
      const { refunded } = await session.call("refund_order", { number: 1 });
      assert.equal(refunded, true);
    });
  }
});
