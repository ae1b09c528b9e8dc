// Introspection and token exchange against a certified OpenID provider (`oidc-provider`): `node --test
// introspection.test.mjs`. Build first: `cargo build -p oauth2-actix-examples --bins --examples`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import {
  API,
  CLIENTS,
  OTHER_API,
  SCOPE,
  SUBJECT,
  startIdentityProvider,
} from "./introspection-identity-provider.mjs";
import { TEST } from "./limits.mjs";
import { apis, startApi, stopApis } from "./oidc-api.mjs";
import { poll, request } from "./oidc-requests.mjs";
import { program } from "./programs.mjs";

const EXCHANGE_API = program("examples/exchange_api", "EXCHANGE_API");
const INTROSPECT = "/token/introspection";
const INACTIVE = "The token is not active, or not meant for this resource.";

const get = (api, path, token) => request(`${api.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
const authentication = (method) => ({ method, ...CLIENTS[method] });

/** Returns a policy that introspects tokens at the provider, with these additional settings. */
const asking = (provider, introspection = {}, settings = {}) => ({
  providers: {
    oidc: {
      issuer: provider.issuer,
      audience: [API],
      introspection: { client_authentication: authentication("client_secret_basic"), ...introspection },
      ...settings,
    },
  },
  ...(settings.keys && { key_refresh_minutes: 5 }),
});

function assertInactive(answer) {
  assert.equal(answer.status, 401, answer.text);
  const { error, error_description } = JSON.parse(answer.text);
  assert.deepEqual([error, error_description], ["invalid_token", INACTIVE]);
}

let provider;

before(async () => {
  provider = await startIdentityProvider();
}, TEST);
after(async () => {
  await stopApis();
  await provider.stop();
}, TEST);

for (const method of Object.keys(CLIENTS)) {
  test(`opaque token is accepted with ${method}`, TEST, async () => {
    const api = await startApi(asking(provider, { client_authentication: authentication(method) }));
    const token = await provider.accessToken();
    assert.equal(token.split(".").length, 1, "an opaque token");
    const answer = await get(api, "/me", token);
    assert.equal(answer.status, 200, answer.text + api.output());
    const { claims } = JSON.parse(answer.text);
    assert.deepEqual([claims.iss, claims.aud, claims.sub], [provider.issuer, API, SUBJECT]);
    assert.equal((await get(api, "/orders", token)).status, 200);
  });
}

test("signed answers are accepted", TEST, async () => {
  const keys = `${provider.issuer}/jwks`;
  const api = await startApi(asking(provider, { signed: true }, { keys }));
  const answer = await get(api, "/me", await provider.accessToken());
  assert.equal(answer.status, 200, answer.text + api.output());
  assertInactive(await get(api, "/me", "an-unknown-token"));
});

test("wrong secret is 503, and the log names the cause", TEST, async () => {
  const wrong = { ...authentication("client_secret_basic"), client_secret: "wrong" };
  const api = await startApi(asking(provider, { client_authentication: wrong }));
  const answer = await get(api, "/me", await provider.accessToken());
  assert.equal(answer.status, 503, answer.text);
  assert.ok(Number(answer.headers["retry-after"]) >= 1);
  assert.match(api.output(), /how this API authenticates/);
});

test("tokens that are unknown, for another API or no access tokens are rejected alike", TEST, async () => {
  const api = await startApi(asking(provider));
  for (const token of [
    "an-unknown-token",
    await provider.accessToken({ resource: OTHER_API }),
    await provider.refreshToken(),
  ]) {
    assertInactive(await get(api, "/me", token));
  }
});

test("token without the scope is 403", TEST, async () => {
  const api = await startApi(asking(provider));
  const token = await provider.accessToken({ scope: "openid" });
  assert.equal((await get(api, "/me", token)).status, 200);
  assert.equal((await get(api, "/orders", token)).status, 403);
});

test("answer is cached, and a revoked token is rejected within the seconds that are set", TEST, async () => {
  const seconds = 2;
  const api = await startApi(asking(provider, { cache_seconds: seconds }));
  const token = await provider.accessToken();
  const before = provider.requests(INTROSPECT);
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await get(api, "/me", token)).status, 200);
  }
  // A slow machine may need longer than the answer is used.
  assert.ok(provider.requests(INTROSPECT) - before <= 10);

  await provider.revoke(token);
  // Not a limit of speed: an answer that is used longer than set fails, whatever the machine does.
  await pause(seconds * 1000);
  assertInactive(await get(api, "/me", token));
});

test("token is exchanged for one that only the other API accepts", TEST, async () => {
  const oauth2 = asking(provider, {}, {});
  oauth2.providers.oidc.token_exchange = { client_authentication: authentication("private_key_jwt") };
  const first = await startApi(oauth2, {}, 0, EXCHANGE_API);
  const other = await startApi({
    providers: { oidc: { issuer: provider.issuer, audience: [OTHER_API], keys: `${provider.issuer}/jwks` } },
    key_refresh_minutes: 5,
  });
  const token = await provider.accessToken();
  const exchange = (resource, scope = SCOPE) =>
    get(first, `/exchange?${new URLSearchParams({ resource, scope })}`, token);

  const before = provider.requests("/token");
  const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(OTHER_API)));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text + first.output());
  const [{ token: issued, seconds_left }] = answers.map(({ text }) => JSON.parse(text));
  assert.ok(seconds_left > 0 && seconds_left <= 600);
  assert.equal(provider.requests("/token") - before, 1, "one call for all");

  const accepted = await get(other, "/orders", issued);
  assert.equal(accepted.status, 200, accepted.text);
  const { claims } = JSON.parse((await get(other, "/me", issued)).text);
  assert.deepEqual([claims.sub, claims.client_id, claims.aud], [SUBJECT, CLIENTS.private_key_jwt.client_id, OTHER_API]);
  assert.equal((await get(other, "/me", token)).status, 401);
  // This provider does not introspect JWTs, and says 400.
  assert.notEqual((await get(first, `/exchange?${new URLSearchParams({ resource: OTHER_API, scope: SCOPE })}`, issued)).status, 200);

  assert.equal((await exchange("https://third.example.test")).status, 403);
  assert.match(first.output(), /rejected the token exchange: invalid_target/);
  assert.equal((await exchange(OTHER_API, "orders:write")).status, 403);
});

test("output of the APIs has no token and no secret", TEST, async () => {
  await poll(async () => apis.length, (count) => count > 0);
  const { sentCredentials } = await import("./oidc-requests.mjs");
  for (const api of apis) {
    for (const sent of sentCredentials) assert.ok(!api.output().includes(sent.slice("Bearer ".length)));
    for (const { client_secret } of Object.values(CLIENTS)) {
      assert.ok(!client_secret || !api.output().includes(client_secret));
    }
  }
});
