// The same proofs to the `configured` example and to an Express API with `express-oauth2-jwt-bearer`:
// `node --test dpop-differential.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`. Each difference is
// listed here, with its reason.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";

import express from "express";
import { auth } from "express-oauth2-jwt-bearer";
import { startBoundApi } from "./dpop-api.mjs";
import { issuerOf, keyOf, mutations } from "./dpop-mutations.mjs";
import { TEST } from "./limits.mjs";
import { stopApis } from "./oidc-api.mjs";
import { request } from "./oidc-requests.mjs";

const AUDIENCE = "https://api.example.test";

/** The cases that only one of the two refuses, with the reason. */
const DIFFERENCES = {
  "refused here, accepted there": [
    {
      why: "A proof is used once (RFC 9449 §11.1). The other library stores no `jti`, and leaves that to its developers.",
      cases: ["the proof was used before"],
    },
    {
      why: "The `jti` is what a store remembers. RFC 7519 §4.1.7 makes it a string, and a bound limits the hashing.",
      cases: ["`jti` is a number", "`jti` has 2 KiB"],
    },
    {
      why: "RFC 9449 §4.2 gives one value of `typ`. The other library also takes the other spellings of the media type.",
      cases: ["`typ` is DPoP+JWT", "`typ` is application/dpop+jwt"],
    },
    {
      why: "Methods are case-sensitive (RFC 9110 §9.1). The other library compares them in upper case.",
      cases: ["`htm` is get"],
    },
    {
      why:
        "Only URIs of RFC 3986 are compared. The other library reads `htu` as a browser reads an address, which removes " +
        "white space, changes a backslash to a slash, and drops a user name.",
      cases: [
        "`htu` has a backslash",
        "`htu` has white space around it",
        "`htu` has a line break in it",
        "`htu` has a user",
        "`htu` is another form of the address",
      ],
    },
    {
      why: "A client that sends a private or symmetric member handles its key wrongly (RFC 9449 §4.3, check 7).",
      cases: ["`jwk` has an empty `d`", "`jwk` has a `k`"],
    },
    {
      why: "`use`, `key_ops` and `alg` say what a key is for (RFC 7517 §4), and it is not for this signature.",
      cases: ["`jwk` is for encryption", "`jwk` has `key_ops` for encryption", "`jwk` has another `alg`"],
    },
    {
      why: "A JWT has no unencoded payload (RFC 7797 §7), and no extension is supported here.",
      cases: ["`b64` is true, with `crit`", "`b64` is true, without `crit`"],
    },
    {
      why: "Two parsers read repeated members differently (RFC 8725 §2.4), and JSON begins without a byte order mark.",
      cases: ["a member of the header is repeated", "a claim is repeated", "the payload has a byte order mark"],
    },
    {
      why: "Each signature has one encoding (RFC 7515 §2). The other library's decoder takes any base64.",
      cases: [
        "the signature has padding",
        "the signature has set trailing bits",
        "the signature is in the other base64",
      ],
    },
  ],
  "accepted here, refused there": [
    {
      why: "RFC 9449 §4.2 defines no `exp` and `nbf` of proofs: the age of a proof is that of its `iat` or nonce.",
      cases: ["`exp` is over", "`nbf` is in an hour"],
    },
    {
      why: "Nothing binds the token, so that a needless proof does not count. `dpop: required` refuses it here too.",
      cases: ["the token is not bound, and the scheme is Bearer"],
    },
  ],
};

let servers, issuer, ours, theirs;

before(async () => {
  const keys = await listen((_incoming, outgoing) => {
    outgoing.setHeader("content-type", "application/json").end(JSON.stringify(issuer.jwks));
  });
  const url = urlOf(keys);
  issuer = issuerOf(url, AUDIENCE);
  const algorithms = ["ES256", "ES384", "EdDSA", "PS256", "RS256"];
  const api = await startBoundApi(
    { issuer: url, jwksUri: `${url}/jwks` },
    { audience: AUDIENCE, dpop: { algorithms, max_age_seconds: 60, clock_skew_seconds: 10 } },
  );
  ours = api.url;

  const app = express();
  const dpop = { enabled: true, iatOffset: 60, iatLeeway: 10 };
  app.use(auth({ issuer: url, jwksUri: `${url}/jwks`, audience: AUDIENCE, tokenSigningAlg: "ES256", dpop }));
  app.get("/me", (_request, response) => response.json({}));
  app.use((error, _request, response, _next) => response.status(error.status ?? 500).set(error.headers).json({ error: error.code }));
  const server = await listen(app);
  theirs = urlOf(server);
  servers = [keys, server];
}, TEST);

after(async () => {
  await stopApis();
  for (const server of servers) server.close();
}, TEST);

test("both accept and refuse the same proofs, except for the differences that are explained", TEST, async () => {
  const cases = mutations({ ...issuer, key: keyOf("ES256") });
  assert.ok(cases.length >= 100, `${cases.length} cases`);
  const found = {};
  for (const { name, headers, send } of cases) {
    const results = [];
    for (const url of [ours, theirs]) {
      const sent = headers(url);
      let answer = await request(`${url}/me`, { headers: sent });
      if (send === "twice") {
        assert.equal(answer.status, 200, name);
        answer = await request(`${url}/me`, { headers: sent });
      }
      // Never an error of the server.
      assert.ok([200, 400, 401].includes(answer.status), `${name}: ${answer.status} of ${url} ${answer.text}`);
      results.push(answer.status === 200 ? "accepted" : "refused");
    }
    const [us, them] = results;
    if (us !== them) found[name] = `${us} here, ${them} there`;
  }
  const explained = Object.entries(DIFFERENCES).flatMap(([difference, groups]) =>
    groups.flatMap(({ cases }) => cases.map((name) => [name, difference])),
  );
  assert.deepEqual(found, Object.fromEntries(explained));
});

async function listen(handler) {
  const server = http.createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const urlOf = (server) => `http://127.0.0.1:${server.address().port}`;
