// What the MCP specification requires of a resource server, on the wire: the example `mcp` with its own issuer, raw
// requests, and the server scenarios of the conformance suite: `node --test mcp-wire.test.mjs`.
// The rules are those of the revision 2026-07-28, /basic/authorization and /basic/transports/streamable-http.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { TEST, WAIT_MS } from "./limits.mjs";
import { end, startServer } from "./mcp-server.mjs";
import { rawPost, request } from "./oidc-requests.mjs";

const METADATA = "/.well-known/oauth-protected-resource";
const INSPECTOR = "http://localhost:6274";
const REVISION = "2026-07-28";
const SCOPES = "mcp:use orders:read";
const HEADER_MISMATCH = -32_020;

let server;
let metadataUrl;

before(async () => {
  server = await startServer({ LEEWAY_SECONDS: "0" });
  metadataUrl = `${server.origin}${METADATA}/mcp`;
}, TEST);

after(async () => {
  if (server) await end(server);
}, TEST);

/** Returns a token of the embedded issuer, with changed claims. */
async function tokenWith({ claims = {}, scope = SCOPES, expiresIn = 300 } = {}) {
  const form = {
    grant_type: "client_credentials",
    client_id: "quickstart",
    client_secret: "quickstart",
    claims: JSON.stringify({ sub: "alice", ...claims }),
    expires_in: String(expiresIn),
    ...(scope && { scope }),
  };
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(form).toString();
  const { status, text } = await request(`${server.issuer}/token`, { method: "POST", headers, body });
  assert.equal(status, 200, text);
  return JSON.parse(text).access_token;
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const META = {
  "io.modelcontextprotocol/protocolVersion": REVISION,
  "io.modelcontextprotocol/clientInfo": { name: "wire", version: "1.0.0" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
const rpc = (method, params = {}) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
const toolCall = (name, options = {}) => rpc("tools/call", { name, arguments: options, _meta: META });
const accept = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const modern = (method, name) => ({
  ...accept,
  "mcp-protocol-version": REVISION,
  "mcp-method": method,
  ...(name !== undefined && { "mcp-name": name }),
});

function post(body, headers = {}, path = "/mcp") {
  return request(`${server.origin}${path}`, { method: "POST", headers: { ...accept, ...headers }, body });
}

/** Calls a tool by the current revision. Returns { status, headers, text, message }. */
async function callTool(token, name, options, headers = {}) {
  const sent = { ...modern("tools/call", name), ...(token && bearer(token)), ...headers };
  const answer = await post(toolCall(name, options), sent);
  return { ...answer, message: messageOf(answer) };
}

/** Returns the JSON-RPC message of a JSON body, or the last one of an event stream. */
function messageOf({ headers, text }) {
  if (/^text\/event-stream/.test(headers["content-type"])) {
    return JSON.parse(text.match(/^data: ?\{.*$/gm).at(-1).slice(5));
  }
  return /json/.test(headers["content-type"]) ? JSON.parse(text) : undefined;
}

/** Returns the parameters of a Bearer challenge. */
function challengeOf({ headers }) {
  const challenge = headers["www-authenticate"];
  assert.match(challenge ?? "", /^Bearer /);
  return Object.fromEntries([...challenge.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
}

function assertUnauthorized(answer, error) {
  assert.equal(answer.status, 401, answer.text);
  const challenge = challengeOf(answer);
  assert.equal(challenge.error, error);
  assert.equal(challenge.resource_metadata, metadataUrl);
  // SHOULD: the scopes of a first login, and never offline_access.
  assert.equal(challenge.scope, SCOPES);
}

function assertInsufficient(answer, scope) {
  assert.equal(answer.status, 403, answer.text);
  const challenge = challengeOf(answer);
  assert.equal(challenge.error, "insufficient_scope");
  assert.equal(challenge.resource_metadata, metadataUrl);
  assert.deepEqual(challenge.scope.split(" ").sort(), scope);
}

test("the metadata document is at both well-known URIs, public, and names the issuer", TEST, async () => {
  for (const path of [`${METADATA}/mcp`, METADATA]) {
    for (const headers of [{}, bearer("no-token"), { origin: INSPECTOR }, { "mcp-protocol-version": REVISION }]) {
      const answer = await request(`${server.origin}${path}`, { headers });
      assert.equal(answer.status, 200, `${path} ${answer.text}`);
      assert.match(answer.headers["content-type"], /^application\/json/);
      const document = JSON.parse(answer.text);
      assert.equal(document.resource, server.resource);
      assert.deepEqual(document.authorization_servers, [server.issuer]);
      assert.deepEqual(document.bearer_methods_supported, ["header"]);
      const scopes = ["mcp:use", "orders:admin", "orders:read", "refunds:write"];
      assert.deepEqual([...document.scopes_supported].sort(), scopes);
      assert.ok(Object.values(document).every((value) => value?.length !== 0), "empty lists are left out");
    }
  }
  const other = await request(`${server.origin}${METADATA}/other`);
  assert.notEqual(other.status, 200);
});

test("the document does not depend on the Host of the request", TEST, async () => {
  const headers = { host: "evil.example", "x-forwarded-host": "evil.example", forwarded: "host=evil.example" };
  const { text } = await request(metadataUrl, { headers });
  assert.equal(JSON.parse(text).resource, server.resource);
  const { headers: sent } = await request(`${server.origin}/mcp`, { headers });
  assert.ok(sent["www-authenticate"].includes(`resource_metadata="${metadataUrl}"`));
});

test("a request without a token gets 401 with the way to one, with any method", TEST, async () => {
  for (const method of ["GET", "POST", "DELETE", "PUT"]) {
    const answer = await request(`${server.origin}/mcp`, { method, headers: accept });
    assertUnauthorized(answer, undefined);
  }
  assertUnauthorized(await post(rpc("initialize")), undefined);
  assertUnauthorized(await post(rpc("server/discover"), modern("server/discover")), undefined);
});

test("the challenge has its parameters in the order that clients read", TEST, async () => {
  const { headers } = await post(rpc("initialize"));
  const challenge = headers["www-authenticate"];
  // Clients take the first match in the whole header.
  for (const name of ["resource_metadata=", "scope="]) assert.equal(challenge.split(name).length, 2, challenge);
  const { headers: insufficient } = await callTool(await tokenWith(), "refund_order", { number: 1 });
  const text = insufficient["www-authenticate"];
  for (const name of [" resource_metadata=", " scope=", " error="]) {
    assert.equal(text.split(name).length, 2, text);
    assert.ok(text.indexOf(name) < text.indexOf("error_description="), text);
  }
});

test("a token in the query, in the body or in a cookie is no token", TEST, async () => {
  const token = await tokenWith();
  assertUnauthorized(await post(rpc("ping"), {}, `/mcp?access_token=${token}`), undefined);
  assertUnauthorized(await post(rpc("ping"), { cookie: `access_token=${token}` }), undefined);
  const form = { "content-type": "application/x-www-form-urlencoded" };
  assertUnauthorized(await post(`access_token=${token}`, form), undefined);
});

/** Begins a session of an earlier revision. Returns the headers that continue it. */
async function beginSession(token) {
  const initialize = rpc("initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "wire", version: "1.0.0" },
  });
  const { status, headers } = await post(initialize, bearer(token));
  assert.equal(status, 200);
  const session = { "mcp-session-id": headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25" };
  assert.ok(session["mcp-session-id"]);
  const initialized = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });
  assert.equal((await post(initialized, { ...session, ...bearer(token) })).status, 202);
  return session;
}

const WHO_AM_I = rpc("tools/call", { name: "whoami", arguments: {} });

test("a token is checked in every request of a session, not only in the first", TEST, async () => {
  const token = await tokenWith();
  const session = await beginSession(token);
  assertUnauthorized(await post(WHO_AM_I, session), undefined);
  assertUnauthorized(await post(WHO_AM_I, { ...session, ...bearer("no-token") }), "invalid_token");
  const answer = await post(WHO_AM_I, { ...session, ...bearer(token) });
  assert.equal(messageOf(answer).result.structuredContent.subject, "alice");
});

test("a session is unknown to other users, and known to its user with a new token", TEST, async () => {
  const session = await beginSession(await tokenWith());
  const other = await tokenWith({ claims: { sub: "bob" } });
  for (const method of ["POST", "GET", "DELETE"]) {
    const headers = { ...accept, ...session, ...bearer(other) };
    const body = method === "POST" ? WHO_AM_I : undefined;
    assert.equal((await request(`${server.origin}/mcp`, { method, headers, body })).status, 404, method);
  }
  const scope = "mcp:use refunds:write";
  const { status } = await post(WHO_AM_I, { ...session, ...bearer(await tokenWith({ scope })) });
  assert.equal(status, 200);
});

test("an event stream ends when its token expires", TEST, async () => {
  const session = await beginSession(await tokenWith());
  const token = await tokenWith({ expiresIn: 2 });
  const { exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  const headers = { ...accept, ...session, ...bearer(token) };
  const response = await fetch(`${server.origin}/mcp`, { headers, signal: AbortSignal.timeout(WAIT_MS) });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  // Not as if it were complete.
  await assert.rejects(response.text(), { name: "TypeError", message: "terminated" });
  assert.ok(Date.now() >= exp * 1000, "not before its expiry");
});

test("a token for another audience, however similar, is rejected", TEST, async () => {
  const { resource, origin } = server;
  const similar = [origin, `${origin}/`, `${resource}/`, `${resource}/x`, "https://other.example/mcp", [], [origin]];
  for (const aud of similar) {
    assertUnauthorized(await callTool(await tokenWith({ claims: { aud } }), "whoami"), "invalid_token");
  }
  const { status } = await callTool(await tokenWith({ claims: { aud: [origin, resource] } }), "whoami");
  assert.equal(status, 200);
});

test("an invalid or expired token gets 401, a malformed request 400", TEST, async () => {
  const token = await tokenWith();
  const [header, , signature] = token.split(".");
  const changed = Buffer.from(JSON.stringify({ sub: "bob" })).toString("base64url");
  for (const invalid of [
    "no-token",
    `${header}.${changed}.${signature}`,
    await tokenWith({ expiresIn: -1 }),
    await tokenWith({ claims: { iss: "http://127.0.0.1:1" } }),
  ]) {
    assertUnauthorized(await callTool(invalid, "whoami"), "invalid_token");
  }
  const twice = [`Bearer ${token}`, `Bearer ${token}`];
  const headers = { ...accept, authorization: twice };
  const answer = await request(`${server.origin}/mcp`, { method: "POST", headers });
  assert.equal(answer.status, 400, answer.text);
  assert.equal(challengeOf(answer).error, "invalid_request");
});

test("a tool gets the claims of the request", TEST, async () => {
  const { status, message } = await callTool(await tokenWith({ claims: { sub: "bob" } }), "whoami");
  assert.equal(status, 200);
  const expected = { subject: "bob", client: "quickstart", scopes: SCOPES.split(" ") };
  assert.deepEqual(message.result.structuredContent, expected);
});

test("a call without its scopes gets 403 with all scopes of the operation", TEST, async () => {
  assertInsufficient(await callTool(await tokenWith(), "refund_order", { number: 2 }), ["mcp:use", "refunds:write"]);
  const scope = "mcp:use";
  assertInsufficient(await callTool(await tokenWith({ scope }), "list_orders"), ["mcp:use", "orders:read"]);
  assertInsufficient(await callTool(await tokenWith({ scope: null }), "whoami"), ["mcp:use"]);
  const { message } = await callTool(await tokenWith(), "list_orders");
  assert.equal(message.result.structuredContent.orders[1].refunded, false, "the refused refund did not run");
});

test("a broader scope counts for the narrower ones that it implies", TEST, async () => {
  const token = await tokenWith({ scope: "mcp:use orders:admin" });
  const { status, message } = await callTool(token, "refund_order", { number: 3 });
  assert.deepEqual([status, message.result?.structuredContent.refunded], [200, true]);
});

test("a tool can reject a call that the rules let through", TEST, async () => {
  const token = await tokenWith({ scope: "mcp:use refunds:write" });
  const { status, message } = await callTool(token, "refund_order", { number: 2 });
  assert.equal(status, 200);
  assert.equal(message.error.message, "large orders require orders:admin");
});

test("an Origin of no allowed page gets 403, also with a token", TEST, async () => {
  const token = await tokenWith();
  const evil = ["https://evil.example", "http://evil.example:6274"];
  const others = [...evil, "null", `${INSPECTOR}0`, "https://localhost:6274"];
  for (const origin of others) {
    const { status, headers } = await callTool(token, "whoami", {}, { origin });
    assert.equal(status, 403, origin);
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
  for (const origin of [INSPECTOR, server.origin]) {
    assert.equal((await callTool(token, "whoami", {}, { origin })).status, 200, origin);
  }
});

test("a Host of another server gets 403", TEST, async () => {
  const token = await tokenWith();
  assert.equal((await callTool(token, "whoami", {}, { host: "evil.example" })).status, 403);
});

test("headers that differ from the body get 400 and -32020, and never run the call", TEST, async () => {
  const token = await tokenWith({ scope: "mcp:use orders:read refunds:write" });
  const body = toolCall("refund_order", { number: 1 });
  for (const headers of [
    modern("tools/call", "whoami"),
    modern("tools/list"),
    modern("tools/call"),
    modern("tools/call", `=?base64?${Buffer.from("whoami").toString("base64")}?=`),
  ]) {
    const answer = await post(body, { ...headers, ...bearer(token) });
    assert.equal(answer.status, 400, `${JSON.stringify(headers)} ${answer.text}`);
    assert.equal(messageOf(answer)?.error?.code, HEADER_MISMATCH, answer.text);
  }
  const encoded = `=?base64?${Buffer.from("whoami").toString("base64")}?=`;
  const answer = await post(toolCall("whoami"), { ...modern("tools/call", encoded), ...bearer(token) });
  assert.equal(answer.status, 200, answer.text);
});

test("a header that names a harmless tool does not let another one through", TEST, async () => {
  const token = await tokenWith();
  const call = (body, headers) => post(body, { ...headers, ...bearer(token) });
  const body = toolCall("refund_order", { number: 1 });
  const named = { "mcp-method": "tools/call", "mcp-name": "whoami" };
  const calls = [
    [body, named],
    [body, { ...named, "mcp-protocol-version": "2025-11-25" }],
    [body, { ...named, "mcp-protocol-version": REVISION }],
    [body, { ...named, "mcp-protocol-version": "2099-01-01" }],
    [body, { "mcp-method": "tools/list", "mcp-protocol-version": REVISION }],
    [`[${body}]`, named],
    [`[${toolCall("whoami")},${body}]`, named],
    [body.replace('"name":"refund_order"', '"name":"whoami","name":"refund_order"'), named],
    [body.replace('"name":"refund_order"', '"name":"refund_order","name":"whoami"'), {}],
    [body.replace("refund_order", "\\u0072efund_order"), {}],
    [body.replace('"name"', '"n\\u0061me"'), {}],
    [body.replace('"method":"tools/call"', '"method":"ping","method":"tools/call"'), { "mcp-method": "ping" }],
  ];
  for (const [text, headers] of calls) {
    const { status } = await call(text, headers);
    assert.ok(status >= 400 && status < 500, `${status} ${text} ${JSON.stringify(headers)}`);
  }
  const { message } = await callTool(token, "list_orders");
  assert.equal(message.result.structuredContent.orders[0].refunded, false);
});

test("two Mcp-Name headers are no way around a rule", TEST, async () => {
  const token = await tokenWith();
  const body = toolCall("refund_order", { number: 1 });
  for (const names of [["whoami", "refund_order"], ["refund_order", "whoami"]]) {
    const lines = Object.entries({ ...modern("tools/call"), ...bearer(token) });
    lines.push(...names.map((name) => ["mcp-name", name]));
    const { status } = await rawPost(`${server.origin}/mcp`, lines, body);
    assert.ok(status === 400 || status === 403, `${status}`);
  }
});

test("browser pages of the allowed origins can read document, challenge and session", TEST, async () => {
  const headers = { origin: INSPECTOR };
  const document = await request(metadataUrl, { headers });
  assert.equal(document.headers["access-control-allow-origin"], INSPECTOR);
  const rejected = await post(rpc("initialize"), headers);
  assert.equal(rejected.status, 401);
  assert.equal(rejected.headers["access-control-allow-origin"], INSPECTOR);
  const exposed = rejected.headers["access-control-expose-headers"].toLowerCase();
  for (const name of ["www-authenticate", "mcp-session-id"]) assert.ok(exposed.includes(name), exposed);
  const insufficient = await callTool(await tokenWith(), "refund_order", { number: 1 }, headers);
  assert.equal(insufficient.status, 403);
  assert.equal(insufficient.headers["access-control-allow-origin"], INSPECTOR);

  for (const url of [`${server.origin}/mcp`, metadataUrl]) {
    const preflight = await request(url, {
      method: "OPTIONS",
      headers: {
        ...headers,
        "access-control-request-method": url === metadataUrl ? "GET" : "POST",
        "access-control-request-headers": "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name",
      },
    });
    assert.equal(preflight.status, 200, preflight.text);
    assert.equal(preflight.headers["access-control-allow-origin"], INSPECTOR);
    const allowed = preflight.headers["access-control-allow-headers"].toLowerCase();
    for (const name of ["authorization", "mcp-protocol-version", "mcp-name"]) {
      assert.ok(allowed.includes(name), allowed);
    }
  }
  // The document is for the pages of every origin.
  const other = await request(metadataUrl, { headers: { origin: "https://evil.example" } });
  assert.equal(other.headers["access-control-allow-origin"], "*");
});

test("no token is in the log", TEST, async () => {
  const token = await tokenWith();
  await callTool(token, "whoami");
  await callTool(token, "refund_order", { number: 1 });
  await callTool(`${token}x`, "whoami");
  assert.ok(server.output().length > 0);
  for (const part of token.split(".").slice(1)) assert.ok(!server.output().includes(part));
});
