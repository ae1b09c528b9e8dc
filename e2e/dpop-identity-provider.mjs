// An issuer of bound tokens: `oidc-provider` on loopback, with DPoP (RFC 9449) and certificate-bound tokens (RFC 8705).

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import Provider from "oidc-provider";
import { generateKeys } from "./oidc-identity-provider.mjs";

/** The audience of the tokens. */
export const API = "https://api.example.test";

/** The algorithms of proofs. */
export const PROOF_ALGORITHMS = ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"];

/** A client of the client credentials grant, and its secret. Its tokens are bound if its requests have a proof. */
export const CLIENT = { client_id: "service", client_secret: randomBytes(32).toString("base64url") };

/** A client whose tokens are bound to its certificate. */
export const CERTIFICATE_CLIENT = {
  client_id: "service-with-certificate",
  client_secret: randomBytes(32).toString("base64url"),
};

/** The header in which a TLS terminator hands on the certificate of the client, in base64. */
export const CERTIFICATE_HEADER = "x-client-certificate";

/** Starts an issuer. With `nonces`, each proof at its token endpoint must have a nonce of it. */
export async function startIssuer({ nonces = false } = {}) {
  const keys = await generateKeys();
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration(keys, nonces));
  provider.on("server_error", (_ctx, error) => console.error(error));
  const answers = [];
  const serve = provider.callback();
  server.on("request", (incoming, outgoing) => {
    outgoing.on("finish", () => answers.push({ path: incoming.url, status: outgoing.statusCode }));
    serve(incoming, outgoing);
  });
  return {
    issuer,
    jwksUri: `${issuer}/jwks`,
    tokenEndpoint: `${issuer}/token`,
    /** The status of each answer of the token endpoint. */
    tokenAnswers: () => answers.filter(({ path }) => path === "/token").map(({ status }) => status),
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function configuration(keys, nonces) {
  const machine = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };
  return {
    jwks: { keys },
    clients: [
      { ...CLIENT, ...machine },
      { ...CERTIFICATE_CLIENT, ...machine, tls_client_certificate_bound_access_tokens: true },
    ],
    cookies: { keys: [randomBytes(32).toString("hex")] },
    enabledJWA: { dPoPSigningAlgValues: PROOF_ALGORITHMS },
    ttl: { ClientCredentials: 600 },
    // Pages of any origin may call the token endpoint.
    clientBasedCORS: () => true,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => nonces },
      encryption: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => pem(ctx.get(CERTIFICATE_HEADER)),
      },
      requestObjects: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => API,
        getResourceServerInfo: () => ({
          audience: API,
          scope: "orders:read",
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  };
}

/** Returns the PEM of a certificate in base64, and nothing for no certificate. */
const pem = (base64) =>
  base64 ? `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n` : undefined;
