// Tokens of `oidc-provider` that are bound to a client certificate (RFC 8705), against the `configured` example behind a
// TLS terminator: `node --test certificates.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { generateCertificate, requestOverTls, terminate } from "./certificates.mjs";
import { API, CERTIFICATE_CLIENT, CERTIFICATE_HEADER, startIssuer } from "./dpop-identity-provider.mjs";
import { TEST } from "./limits.mjs";
import { startApi, stopApis } from "./oidc-api.mjs";
import { request } from "./oidc-requests.mjs";

const [server, client, other] = ["server", "client", "other"].map(generateCertificate);
const stops = [];
let issuer, token, api, front;

before(async () => {
  issuer = await startIssuer();
  stops.push(issuer.stop);
  const tokens = await terminate(issuer.issuer, { certificate: server, name: CERTIFICATE_HEADER });
  stops.push(tokens.stop);
  token = await boundToken(tokens.url);
  api = await start({ format: "rfc9440", from_peers: ["127.0.0.1"] });
  front = await terminate(api.url, { certificate: server, name: "client-cert", format: (base64) => `:${base64}:` });
  stops.push(front.stop);
}, TEST);

after(async () => {
  await stopApis();
  await Promise.all(stops.map((stop) => stop()));
}, TEST);

test("the token is bound to the certificate of its client", TEST, () => {
  const { cnf } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  assert.deepEqual(cnf, { "x5t#S256": client.thumbprint });
});

test("the token is accepted with its certificate, and refused with another one or none", TEST, async () => {
  for (const path of ["/me", "/me?again"]) {
    const accepted = await over(client, path);
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(JSON.parse(accepted.text).claims.client_id, CERTIFICATE_CLIENT.client_id);
  }
  for (const certificate of [other, undefined]) {
    assertRefused(await over(certificate, "/me"));
  }
});

test("a header of the client is replaced by the terminator, and counts from no other peer", TEST, async () => {
  const forged = { "client-cert": `:${client.base64}:` };
  assertRefused(await over(undefined, "/me", forged));
  assertRefused(await over(other, "/me", forged));

  const distrustful = await start({ format: "rfc9440", from_peers: ["127.0.0.9"] });
  const headers = { authorization: `Bearer ${token}`, ...forged };
  assertRefused(await request(`${distrustful.url}/me`, { headers }));
  // The header itself is right: the peer is the cause.
  assert.equal((await request(`${api.url}/me`, { headers })).status, 200);
});

test("the certificate is read in the format of each proxy", TEST, async () => {
  const escaped = encodeURIComponent(client.cert);
  const hash = Buffer.from(client.thumbprint, "base64url").toString("hex");
  for (const [settings, headers] of [
    [{ format: "nginx", header: "X-SSL-Client-Cert" }, { "x-ssl-client-cert": escaped }],
    [{ format: "haproxy", header: "X-SSL-Client-DER" }, { "x-ssl-client-der": client.base64 }],
    [{ format: "envoy" }, { "x-forwarded-client-cert": `Hash=${hash};Cert="${escaped}"` }],
  ]) {
    const behind = await start({ ...settings, from_peers: ["127.0.0.1"] });
    const authorization = `Bearer ${token}`;
    const answer = await request(`${behind.url}/me`, { headers: { authorization, ...headers } });
    assert.equal(answer.status, 200, `${settings.format}: ${answer.text} ${behind.output()}`);
    assertRefused(await request(`${behind.url}/me`, { headers: { authorization } }));
  }
});

const over = (certificate, path, headers = {}) =>
  requestOverTls(`${front.url}${path}`, {
    server,
    client: certificate,
    headers: { authorization: `Bearer ${token}`, ...headers },
  });

function assertRefused(answer) {
  assert.equal(answer.status, 401, answer.text);
  assert.equal(JSON.parse(answer.text).error, "invalid_token");
}

const start = (forwarded_certificate) =>
  startApi({
    providers: {
      issuer: { issuer: issuer.issuer, audience: API, keys: issuer.jwksUri, certificate_bound: "required" },
    },
    forwarded_certificate,
    key_refresh_minutes: 5,
  });

async function boundToken(url) {
  const form = { grant_type: "client_credentials", ...CERTIFICATE_CLIENT };
  const answer = await requestOverTls(`${url}/token`, {
    server,
    client,
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(form).toString(),
  });
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text).access_token;
}
