// Clients of three libraries with DPoP-bound tokens (RFC 9449) of `oidc-provider` and of the embedded identity provider,
// against the `configured` example: `node --test dpop.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`.
// The environment variables CONFIGURED and QUICKSTART name other binaries.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import * as dpop from "dpop";
import * as oauth from "oauth4webapi";
import { startQuickstart } from "./browser-quickstart.mjs";
import { nonces, startBoundApi } from "./dpop-api.mjs";
import { CLIENTS } from "./dpop-clients.mjs";
import { API, CLIENT, startIssuer } from "./dpop-identity-provider.mjs";
import { CONCURRENCY, TEST } from "./limits.mjs";
import { apis, stopApis } from "./oidc-api.mjs";
import { poll, rawGet, request, webSocket } from "./oidc-requests.mjs";

const ALL = ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"];

const stops = [];
after(async () => {
  await stopApis();
  await Promise.all(stops.map((stop) => stop()));
}, TEST);

/** Starts an issuer, and returns what `startBoundApi` and the clients need of it. */
async function oidcProvider(options) {
  const issuer = await startIssuer(options);
  stops.push(issuer.stop);
  return { ...issuer, audience: API, id: CLIENT.client_id, secret: CLIENT.client_secret };
}

/** Starts the quickstart, of which the identity provider is used. */
async function embedded() {
  const { issuer, stop } = await startQuickstart();
  stops.push(stop);
  return { issuer, jwksUri: `${issuer}/jwks.json`, audience: "quickstart-api", id: "quickstart", secret: "quickstart" };
}

const payloadOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
const headerOf = (proof) => JSON.parse(Buffer.from(proof.split(".")[0], "base64url"));

suite("a client of", { concurrency: CONCURRENCY }, () => {
  const situations = [
    ["oidc-provider", () => oidcProvider(), {}],
    ["oidc-provider with nonces everywhere", () => oidcProvider({ nonces: true }), nonces()],
    ["the embedded identity provider, with nonces of the API", embedded, nonces()],
  ];
  for (const [situation, startIssuerOf, settings] of situations) {
    suite(situation, () => {
      let issuer, api;
      const needsNonce = "nonce_secret" in settings;
      before(async () => {
        issuer = await startIssuerOf();
        const { audience } = issuer;
        api = await startBoundApi(issuer, { audience, dpop: { algorithms: ALL, ...settings } });
      }, TEST);

      for (const [name, { algorithms, create }] of Object.entries(CLIENTS)) {
        for (const algorithm of algorithms) {
          test(`${name} with ${algorithm}: the token is bound, and accepted with each proof`, TEST, async () => {
            const client = await create({ ...issuer, algorithm });
            const issued = await client.getToken();
            assert.equal(issued.token_type.toLowerCase(), "dpop");
            assert.equal(payloadOf(issued.access_token).cnf.jkt, await client.jkt());
            for (let calls = 0; calls < 3; calls += 1) {
              const answer = await client.call(`${api.url}/me?call=${calls}`);
              assert.equal(answer.status, 200);
              const { claims } = await answer.json();
              assert.equal(claims.cnf.jkt, await client.jkt());
            }
            const calls = client.notes.filter(({ url }) => url.startsWith(api.url));
            // The first call gets a nonce, and the client uses it for all of them.
            assert.deepEqual(calls.map(({ status }) => status), needsNonce ? [401, 200, 200, 200] : [200, 200, 200]);
            assert.ok(calls.every(({ headers }) => headerOf(headers.dpop).alg === algorithm));
          });
        }
      }
    });
  }
});

test("a client gets a fresh nonce before its own is too old", TEST, async () => {
  const issuer = await oidcProvider();
  const api = await startBoundApi(issuer, { audience: API, dpop: { ...nonces(), nonce_lifetime_seconds: 10 } });
  const client = await CLIENTS["openid-client"].create({ ...issuer, algorithm: "ES256" });
  await client.getToken();
  const accepted = () => client.notes.filter(({ url, status }) => url.startsWith(api.url) && status === 200);
  // The answers to accepted calls have none until the nonce is past half of its life.
  await poll(
    () => client.call(`${api.url}/me`),
    (answer) => {
      assert.equal(answer.status, 200);
      return accepted().at(-1).nonce !== null;
    },
  );
  assert.equal(accepted()[0].nonce, null);
  const { nonce } = accepted().at(-1);
  await client.call(`${api.url}/me`);
  assert.equal(payloadOf(accepted().at(-1).headers.dpop).nonce, nonce);
});

test("a WebSocket client that can set headers sends the proof in one", TEST, async () => {
  const issuer = await oidcProvider();
  const api = await startBoundApi(issuer, { audience: API });
  const keys = await dpop.generateKeyPair("ES256");
  const token = await boundToken(issuer, keys);
  const open = (proof) =>
    webSocket(`${api.webSocketUrl}/ws`, `DPoP ${token}`, proof === undefined ? {} : { DPoP: proof });
  for (const url of [api.webSocketUrl, api.url]) {
    const proof = await dpop.generateProof(keys, `${url}/ws`, "GET", undefined, token);
    const opened = { status: 101, messages: [`hello ${CLIENT.client_id}`], code: 1005, reason: "" };
    assert.deepEqual(await open(proof), opened);
    assert.deepEqual(await open(proof), { status: 101, messages: [], code: 1008, reason: "invalid proof" });
  }
  assert.equal((await open(undefined)).code, 1008);
});

suite("the API refuses", { concurrency: CONCURRENCY }, () => {
  let issuer, api, client, token, keys;
  before(async () => {
    issuer = await oidcProvider();
    api = await startBoundApi(issuer, { audience: API });
    keys = await dpop.generateKeyPair("ES256");
    token = await boundToken(issuer, keys);
    client = await CLIENTS["openid-client"].create({ ...issuer, algorithm: "ES256" });
    await client.getToken();
  }, TEST);

  const proofFor = (method, path, by = keys, of = token) =>
    dpop.generateProof(by, `${api.url}${path}`, method, undefined, of);
  const send = (path, { method = "GET", scheme = "DPoP", token: sent = token, proof } = {}) =>
    request(`${api.url}${path}`, {
      method,
      headers: { authorization: `${scheme} ${sent}`, ...(proof && { dpop: proof }) },
    });

  test("a proof that a library has sent already", TEST, async () => {
    assert.equal((await client.call(`${api.url}/me`)).status, 200);
    const { headers, url } = client.notes.at(-1);
    const { authorization, dpop: proof } = headers;
    const replayed = await request(url, { headers: { authorization, dpop: proof } });
    assertRefused(replayed, "invalid_dpop_proof");
    assert.equal((await client.call(`${api.url}/me`)).status, 200, "the client can go on");
  });

  test("a proof for another method or URI, and accepts it for its own", TEST, async () => {
    for (const [method, path] of [["POST", "/me"], ["GET", "/orders"], ["GET", "/me/"], ["HEAD", "/me"]]) {
      assertRefused(await send("/me", { proof: await proofFor(method, path) }), "invalid_dpop_proof");
    }
    assert.equal((await send("/me", { proof: await proofFor("GET", "/me") })).status, 200);
    assertRefused(await send("/me", { method: "POST", proof: await proofFor("GET", "/me") }), "invalid_dpop_proof");
  });

  test("a bound token as a bearer token, with a proof or without", TEST, async () => {
    for (const proof of [undefined, await proofFor("GET", "/me")]) {
      assertRefused(await send("/me", { scheme: "Bearer", proof }), "invalid_token", "Bearer");
    }
  });

  test("a bound token without a proof, or with two", TEST, async () => {
    assertRefused(await send("/me"), "invalid_dpop_proof");
    const proofs = [await proofFor("GET", "/me"), await proofFor("GET", "/me")];
    const twice = await rawGet(`${api.url}/me`, [
      ["Authorization", `DPoP ${token}`],
      ...proofs.map((proof) => ["DPoP", proof]),
    ]);
    assertRefused(twice, "invalid_dpop_proof");
  });

  test("a proof by the key of another client, or of another token", TEST, async () => {
    const others = await dpop.generateKeyPair("ES256");
    assertRefused(await send("/me", { proof: await proofFor("GET", "/me", others) }), "invalid_token");
    const other = await boundToken(issuer, keys);
    const proof = await proofFor("GET", "/me", keys, other);
    assertRefused(await send("/me", { proof }), "invalid_dpop_proof");
  });

  test("an algorithm that is not of its list, which it names", TEST, async () => {
    const rsa = await dpop.generateKeyPair("RS256");
    const bound = await boundToken(issuer, rsa);
    const answer = await send("/me", { token: bound, proof: await proofFor("GET", "/me", rsa, bound) });
    assertRefused(answer, "invalid_dpop_proof");
    assert.match(answer.headers["www-authenticate"], /algs="ES256 [A-Za-z0-9 ]+"/);
    assert.doesNotMatch(answer.headers["www-authenticate"], /RS256/);
  });

  test("a bearer token where `dpop` or `require` asks for a bound one", TEST, async () => {
    const bearer = await unboundToken(issuer);
    assert.equal((await send("/me", { scheme: "Bearer", token: bearer })).status, 200, "where it is optional");
    for (const options of [{ provider: { dpop: "required" } }, { policy: { require: { dpop: true } } }]) {
      const strict = await startBoundApi(issuer, { audience: API, ...options });
      const answer = await request(`${strict.url}/me`, { headers: { authorization: `Bearer ${bearer}` } });
      assert.equal(answer.status, 401, JSON.stringify(options));
      assert.equal(JSON.parse(answer.text).error, "invalid_token");
      const proof = await dpop.generateProof(keys, `${strict.url}/me`, "GET", undefined, token);
      const bound = await request(`${strict.url}/me`, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
      assert.equal(bound.status, 200, bound.text);
    }
  });

  test("an invalid token, with challenges that a library reads", TEST, async () => {
    const error = await oauth
      .protectedResourceRequest("x", "GET", new URL(`${api.url}/me`), undefined, undefined, {
        [oauth.allowInsecureRequests]: true,
      })
      .then(assert.fail, (error) => error);
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
    assert.deepEqual(error.cause.map(({ scheme }) => scheme), ["bearer", "dpop"]);
    assert.equal(error.cause[0].parameters.error, "invalid_token");
    assert.equal(error.cause[1].parameters.algs, "ES256 ES384 Ed25519 EdDSA PS256");
  });

  /** Checks the error, also in the challenge of this scheme. */
  function assertRefused(answer, error, scheme = "DPoP") {
    assert.equal(answer.status, 401, answer.text);
    if (answer.text) assert.equal(JSON.parse(answer.text).error, error);
    assert.match(answer.headers["www-authenticate"], new RegExp(`${scheme} [^,]*.*error="${error}"`));
  }
});

test("the output of the APIs has no token and no proof", TEST, () => {
  const output = apis.map((api) => api.output()).join("");
  assert.match(output, /rejected/);
  assert.doesNotMatch(output, /eyJ/);
});

async function boundToken({ tokenEndpoint, id, secret }, keys) {
  const proof = await dpop.generateProof(keys, tokenEndpoint, "POST");
  return tokenOf(tokenEndpoint, id, secret, { dpop: proof });
}

const unboundToken = ({ tokenEndpoint, id, secret }) => tokenOf(tokenEndpoint, id, secret, {});

async function tokenOf(url, id, secret, headers) {
  const form = { grant_type: "client_credentials", client_id: id, client_secret: secret };
  const answer = await fetch(url, { method: "POST", headers, body: new URLSearchParams(form) });
  const issued = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(issued));
  return issued.access_token;
}
