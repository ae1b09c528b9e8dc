// The `configured` example against a certified OpenID provider (`oidc-provider`), over HTTP and
// WebSocket: `node --test oidc.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`. The
// environment variable CONFIGURED names another binary.

import assert from "node:assert/strict";
import { createHmac, createPublicKey } from "node:crypto";
import { after, before, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { TEST } from "./limits.mjs";
import { apis, rejectedStart, startApi, stopApis } from "./oidc-api.mjs";
import {
  ALGORITHMS,
  API,
  IdentityProvider,
  OTHER_API,
  SCOPE,
  SHORT_LIVED,
  clientOf,
  generateKeys,
  generateKeysWithoutAlgorithm,
} from "./oidc-identity-provider.mjs";
import { poll, rawGet, request, sentCredentials, webSocket } from "./oidc-requests.mjs";

const bearer = (token) => `Bearer ${token}`;
const get = (api, path, authorization) =>
  request(`${api.url}${path}`, { headers: authorization ? { authorization } : {} });
const open = (api, authorization) => webSocket(`${api.webSocketUrl}/ws`, authorization);

const DISCOVERY = { discover: true };
/** The source of the keys: a configured URL, or discovery. */
const KEY_SOURCES = [
  ["by URL", ({ jwksUri }) => jwksUri],
  ["by discovery", () => DISCOVERY],
];

const policyFor = (provider, changes = {}, keys = provider.jwksUri) => ({
  providers: { oidc: { issuer: provider.issuer, audience: [API], keys } },
  public_paths: ["/health"],
  key_refresh_minutes: 5,
  leeway_seconds: 5,
  ...changes,
});

// Expected answers

const invalidToken = (description, reason = "invalid token") => ({
  status: 401,
  code: "invalid_token",
  description,
  close: [1008, reason],
});
const NO_TOKEN = {
  status: 400,
  code: "invalid_request",
  description: "A bearer token is required.",
  challenge: 'Bearer realm="api"',
  close: [1008, "token missing"],
};
const MALFORMED_REQUEST = {
  status: 400,
  code: "invalid_request",
  description: "Send one access token, as Authorization: Bearer TOKEN.",
  close: [1008, "invalid request"],
};
const NO_JWT = invalidToken("The token is not an acceptable JWT.");
const OTHER_RESOURCE = invalidToken("The token is not meant for this resource.");
const BAD_SIGNATURE = invalidToken("The token's signature is not accepted.");
const EXPIRED = invalidToken("The token has expired.", "token expired");
const NO_SCOPE = {
  status: 403,
  code: "insufficient_scope",
  description: "The token does not permit this.",
  challenge:
    'Bearer scope="orders:read", realm="api", error="insufficient_scope", ' +
    'error_description="The token does not permit this."',
};
const NO_KEYS = {
  status: 503,
  code: "temporarily_unavailable",
  description: "Tokens cannot be checked at the moment.",
  challenge: undefined,
  close: [1013, "try again later"],
};

function assertAccepted(answer, { subject, audience = API, issuer, scope }) {
  assert.equal(answer.status, 200, answer.text);
  const { provider, claims } = JSON.parse(answer.text);
  assert.equal(provider, "oidc");
  assert.equal(claims.iss, issuer);
  assert.equal(claims.aud, audience);
  assert.equal(claims.sub, subject);
  assert.equal(claims.scope, scope);
  assert.equal(answer.headers["www-authenticate"], undefined);
}

function assertRejected(answer, expected) {
  assert.equal(answer.status, expected.status, answer.text);
  assert.equal(answer.headers["content-type"], "application/json");
  const { code: error, description: error_description } = expected;
  assert.deepEqual(JSON.parse(answer.text), { error, error_description });
  const challenge =
    "challenge" in expected
      ? expected.challenge
      : `Bearer realm="api", error="${error}", error_description="${error_description}"`;
  assert.equal(answer.headers["www-authenticate"], challenge);
}

function assertGreeted(socket, subject) {
  // The handler closes without a code, which is 1005 by RFC 6455 §7.4.1.
  const greeted = { status: 101, messages: [`hello ${subject}`], code: 1005, reason: "" };
  assert.deepEqual(socket, greeted);
}

function assertClosed(socket, { close: [code, reason] }) {
  assert.deepEqual(socket, { status: 101, messages: [], code, reason });
}

/** Checks that a request and a WebSocket are rejected with the same error. */
async function assertBothRejected(api, authorization, expected) {
  assertRejected(await get(api, "/me", authorization), expected);
  assertClosed(await open(api, authorization), expected);
}

// Decoded and changed tokens

const decoded = (part) => JSON.parse(Buffer.from(part, "base64url"));
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const headerOf = (token) => decoded(token.split(".")[0]);
const claimsOf = (token) => decoded(token.split(".")[1]);

function withClaims(token, changes) {
  const [header, payload, signature] = token.split(".");
  return [header, encoded({ ...decoded(payload), ...changes }), signature].join(".");
}

function withInvalidSignature(token) {
  const [header, payload, signature] = token.split(".");
  const bytes = Buffer.from(signature, "base64url");
  bytes[bytes.length >> 1] ^= 1;
  return [header, payload, bytes.toString("base64url")].join(".");
}

// The tests run one after the other.

const provider = new IdentityProvider();
let keys;
let api;

before(async () => {
  keys = await generateKeys();
  await provider.start(keys);
  api = await startApi(policyFor(provider));
}, TEST);

after(async () => {
  await stopApis();
  await provider.stop();
}, TEST);

test("a public path needs no token", TEST, async () => {
  const answer = await get(api, "/health");
  assert.equal(answer.status, 200);
  assert.equal(answer.text, "up");
});

for (const algorithm of ALGORITHMS) {
  test(`a token signed with ${algorithm} is accepted, and rejected if it was changed`, TEST, async () => {
    const subject = clientOf(algorithm);
    const { issuer } = provider;
    const plain = await provider.clientToken(subject);
    const scoped = await provider.clientToken(subject, { scope: SCOPE });
    for (const token of [plain, scoped]) {
      const { kid } = keys.find(({ alg }) => alg === algorithm);
      assert.deepEqual(headerOf(token), { alg: algorithm, typ: "at+jwt", kid });
    }

    assertAccepted(await get(api, "/me", bearer(plain)), { issuer, subject });
    assertAccepted(await get(api, "/me", bearer(scoped)), { issuer, subject, scope: SCOPE });
    assertGreeted(await open(api, bearer(plain)), subject);

    const orders = await get(api, "/orders", bearer(scoped));
    assert.equal(orders.status, 200, orders.text);
    assert.equal(orders.text, "your orders");
    assertRejected(await get(api, "/orders", bearer(plain)), NO_SCOPE);

    for (const tampered of [
      withClaims(plain, { scope: SCOPE }),
      withClaims(plain, { sub: "another-client" }),
      withInvalidSignature(plain),
    ]) {
      await assertBothRejected(api, bearer(tampered), BAD_SIGNATURE);
    }
  });
}

test("keys by discovery: tokens of each algorithm are accepted", TEST, async () => {
  const api = await startApi(policyFor(provider, {}, DISCOVERY));
  const { issuer } = provider;
  for (const subject of ALGORITHMS.map(clientOf)) {
    const token = await provider.clientToken(subject);
    assertAccepted(await get(api, "/me", bearer(token)), { issuer, subject });
    assertGreeted(await open(api, bearer(token)), subject);
    await assertBothRejected(api, bearer(withInvalidSignature(token)), BAD_SIGNATURE);
  }
});

test("keys by discovery: an issuer with an extra trailing slash is not accepted", TEST, async () => {
  const slashed = { issuer: `${provider.issuer}/`, jwksUri: provider.jwksUri };
  const api = await startApi(policyFor(slashed, {}, DISCOVERY));
  const token = await provider.clientToken(clientOf("ES256"));
  // Its tokens have the issuer without the slash.
  await assertBothRejected(api, bearer(token), OTHER_RESOURCE);
  const ofSlashed = withClaims(token, { iss: slashed.issuer });
  assertRejected(await get(api, "/me", bearer(ofSlashed)), NO_KEYS);
  const why = /not of the configured issuer.*trailing slash included/;
  await poll(api.output, (output) => why.test(output));
});

test("a user's access token is accepted, the ID token is rejected", TEST, async () => {
  const { access_token: accessToken, id_token: idToken } = await provider.userTokens();
  const { issuer } = provider;
  assertAccepted(await get(api, "/me", bearer(accessToken)), {
    issuer,
    subject: "alice",
    scope: SCOPE,
  });
  assertGreeted(await open(api, bearer(accessToken)), "alice");

  assert.equal(claimsOf(idToken).sub, "alice");
  assert.equal(claimsOf(idToken).aud, "web-app");
  await assertBothRejected(api, bearer(idToken), OTHER_RESOURCE);
});

test("a request without a token is rejected", TEST, async () => {
  await assertBothRejected(api, undefined, NO_TOKEN);
  assertRejected(await get(api, "/orders"), NO_TOKEN);
});

test("a header of another scheme is rejected", TEST, async () => {
  const credentials = Buffer.from("alice:a password of some length").toString("base64");
  await assertBothRejected(api, `Basic ${credentials}`, NO_TOKEN);
});

test("two Authorization headers with a valid token are rejected", TEST, async () => {
  const good = bearer(await provider.clientToken(clientOf("ES256")));
  const once = [["Authorization", good]];
  assert.equal((await rawGet(`${api.url}/me`, once)).status, 200);
  assertRejected(await rawGet(`${api.url}/me`, [...once, ...once]), MALFORMED_REQUEST);
  assertClosed(await open(api, [good, good]), MALFORMED_REQUEST);
});

test("an opaque access token of the same provider is rejected", TEST, async () => {
  const opaque = await provider.clientToken(clientOf("ES256"), { resource: null });
  assert.ok(!opaque.includes("."), "opaque");
  await assertBothRejected(api, bearer(opaque), NO_JWT);
});

test("a token for another resource is rejected", TEST, async () => {
  for (const algorithm of ALGORITHMS) {
    const token = await provider.clientToken(clientOf(algorithm), { resource: OTHER_API });
    assert.equal(claimsOf(token).aud, OTHER_API);
    await assertBothRejected(api, bearer(token), OTHER_RESOURCE);
  }
});

test("a token without a signature, or signed with the public key, is rejected", TEST, async () => {
  const [header, payload] = (await provider.clientToken(clientOf("RS256"))).split(".");
  const unsigned = `${encoded({ ...decoded(header), alg: "none" })}.${payload}.`;
  await assertBothRejected(api, bearer(unsigned), NO_JWT);

  // The published RSA key, used as an HMAC secret.
  const { keys: published } = JSON.parse((await request(provider.jwksUri)).text);
  const key = published.find(({ kid }) => kid === decoded(header).kid);
  const secret = createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" });
  const signed = `${encoded({ ...decoded(header), alg: "HS256" })}.${payload}`;
  const signature = createHmac("sha256", secret).update(signed).digest("base64url");
  await assertBothRejected(api, bearer(`${signed}.${signature}`), BAD_SIGNATURE);
});

test("a token that expires is rejected from then on", TEST, async () => {
  const strict = await startApi(policyFor(provider, { leeway_seconds: 0 }));
  const lenient = await startApi(policyFor(provider, { leeway_seconds: 600 }));
  const token = await provider.clientToken(SHORT_LIVED);
  const { exp, iat } = claimsOf(token);
  assert.equal(exp - iat, 1);

  const rejection = await poll(
    () => get(strict, "/me", bearer(token)),
    ({ status }) => status !== 200,
  );
  assert.ok(Date.now() / 1000 >= exp, "not before exp");
  assertRejected(rejection, EXPIRED);
  await assertBothRejected(strict, bearer(token), EXPIRED);

  const { issuer } = provider;
  assertAccepted(await get(lenient, "/me", bearer(token)), { issuer, subject: SHORT_LIVED });
  assertGreeted(await open(lenient, bearer(token)), SHORT_LIVED);
});

for (const [source, keysOf] of KEY_SOURCES) {
  test(`tokens of new keys are accepted after a rotation, ${source}`, TEST, async (t) => {
    const rotating = new IdentityProvider();
    t.after(() => rotating.stop());
    await rotating.start(keys);
    const { issuer } = rotating;
    const subject = clientOf("RS256");
    const old = await rotating.clientToken(subject);
    // One API for each protocol, since unknown keys cause only one fetch within the cooldown.
    const policy = policyFor(rotating, {}, keysOf(rotating));
    // The new RSA key has no `alg`, and signs by RS256 and by PS256.
    policy.providers.oidc.algorithms = ALGORITHMS;
    const overHttp = await startApi(policy);
    const overWebSocket = await startApi(policy);
    for (const api of [overHttp, overWebSocket]) {
      assertAccepted(await get(api, "/me", bearer(old)), { issuer, subject });
    }

    await rotating.stop();
    await rotating.start(await generateKeysWithoutAlgorithm());
    for (const [index, algorithm] of ALGORITHMS.entries()) {
      const subject = clientOf(algorithm);
      const token = await rotating.clientToken(subject);
      assert.equal(headerOf(token).alg, algorithm);
      assert.ok(keys.every(({ kid }) => kid !== headerOf(token).kid), "a new key");
      // From the first request on.
      if (index % 2 === 0) {
        assertAccepted(await get(overHttp, "/me", bearer(token)), { issuer, subject });
        assertGreeted(await open(overWebSocket, bearer(token)), subject);
      } else {
        assertGreeted(await open(overHttp, bearer(token)), subject);
        assertAccepted(await get(overWebSocket, "/me", bearer(token)), { issuer, subject });
      }
    }
    for (const api of [overHttp, overWebSocket]) {
      await assertBothRejected(api, bearer(old), BAD_SIGNATURE);
    }
  });
}

for (const [source, keysOf] of KEY_SOURCES) {
  test(`requests get 503 while the provider is down at the start, ${source}`, TEST, async (t) => {
    const late = new IdentityProvider();
    t.after(() => late.stop());
    await late.start(keys);
    const subject = clientOf("ES256");
    const token = await late.clientToken(subject);
    const opaque = await late.clientToken(subject, { resource: null });
    await late.stop();

    const api = await startApi(policyFor(late, {}, keysOf(late)));
    for (let attempts = 0; attempts < 2; attempts += 1) {
      const answer = await get(api, "/me", bearer(token));
      assertRejected(answer, NO_KEYS);
      assert.match(answer.headers["retry-after"], /^[1-9][0-9]?$/);
      assertClosed(await open(api, bearer(token)), NO_KEYS);
    }
    // Answers that need no keys are the same.
    assert.equal((await get(api, "/health")).status, 200);
    await assertBothRejected(api, undefined, NO_TOKEN);
    await assertBothRejected(api, bearer(opaque), NO_JWT);

    await late.start(keys);
    const answer = await poll(
      () => get(api, "/me", bearer(token)),
      ({ status }) => status !== 503,
    );
    assertAccepted(answer, { issuer: late.issuer, subject });
    assertGreeted(await open(api, bearer(token)), subject);
  });
}

for (const [source, keysOf] of KEY_SOURCES) {
  test(`fetched keys are used while the provider is down, ${source}`, TEST, async (t) => {
    const unsteady = new IdentityProvider();
    t.after(() => unsteady.stop());
    await unsteady.start(keys);
    const { issuer } = unsteady;
    const subject = clientOf("PS256");
    const token = await unsteady.clientToken(subject);
    const api = await startApi(policyFor(unsteady, {}, keysOf(unsteady)));
    assertAccepted(await get(api, "/me", bearer(token)), { issuer, subject });

    await unsteady.stop();
    await unsteady.start(await generateKeysWithoutAlgorithm());
    const ofNewKey = await unsteady.clientToken(subject);
    await unsteady.stop();
    for (let attempts = 0; attempts < 2; attempts += 1) {
      // The cached keys are used. A token of an unknown key cannot be verified.
      assertAccepted(await get(api, "/me", bearer(token)), { issuer, subject });
      assertGreeted(await open(api, bearer(token)), subject);
      const answer = await get(api, "/me", bearer(ofNewKey));
      assertRejected(answer, NO_KEYS);
      assert.match(answer.headers["retry-after"], /^[1-9][0-9]?$/);
      assertClosed(await open(api, bearer(ofNewKey)), NO_KEYS);
    }
  });
}

test("the API does not start with a configuration error", TEST, async () => {
  const policy = policyFor(provider);
  const { audience, ...withoutAudience } = policy.providers.oidc;
  for (const [wrong, message] of [
    [
      { ...policy, providers: { oidc: withoutAudience } },
      /provider "oidc": audience: missing: /m,
    ],
    [
      { ...policy, providers: { oidc: { ...withoutAudience, audiences: audience } } },
      /provider "oidc": audiences: unknown setting, did you mean `audience`\?/,
    ],
    [{ ...policy, public_path: ["/health"] }, /public_path: unknown setting, did you mean `public_paths`\?/],
  ]) {
    const { code, stdout, stderr } = await rejectedStart(wrong);
    assert.ok(Number.isInteger(code) && code !== 0, `exit code ${code}`);
    assert.match(stderr, message);
    assert.equal(stdout, "");
  }
});

test("the output of an API has no part of a token", TEST, async () => {
  await stopApis();
  const output = stripVTControlCharacters(apis.map((api) => api.output()).join("\n"));
  // The search is meaningful only with debug output about tokens.
  assert.match(output, /DEBUG.*keys fetched/);
  assert.match(output, /DEBUG.*request rejected/);

  // Compares all substrings of this length in the output and in the credentials.
  const LENGTH = 20;
  const runs = (text) =>
    Array.from({ length: Math.max(0, text.length - LENGTH + 1) }, (_, start) =>
      text.slice(start, start + LENGTH),
    );
  const written = new Set(runs(output));
  assert.ok(sentCredentials.size > 50, "many credentials were sent");
  for (const credentials of sentCredentials) {
    const parts = credentials.split(" ")[1].split(".");
    const ids = parts.length === 3 ? [decoded(parts[1]).jti] : [];
    const leaked =
      parts.flatMap(runs).find((run) => written.has(run)) ??
      ids.find((id) => id !== undefined && output.includes(id));
    if (leaked !== undefined) {
      assert.fail(output.split("\n").find((line) => line.includes(leaked)));
    }
  }
});
