// Three clients that bind their tokens by DPoP, with one interface: `getToken()`, and `call(url)`, which returns the
// response of the API. Each repeats a request that needs a nonce, in the way of its library.

import * as dpop from "dpop";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

/** A `fetch` that notes each request, and the status and the nonce of its answer. */
export function noting() {
  const notes = [];
  const noted = async (url, options) => {
    const answer = await fetch(url, options);
    const headers = Object.fromEntries(new Headers(options.headers));
    const nonce = answer.headers.get("dpop-nonce");
    notes.push({ url: String(url), headers, status: answer.status, nonce });
    return answer;
  };
  return [noted, notes];
}

/** The clients by name, with the algorithms that they can sign proofs with. */
export const CLIENTS = {
  oauth4webapi: { algorithms: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"], create: withOauth4webapi },
  "openid-client": { algorithms: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"], create: withOpenidClient },
  dpop: { algorithms: ["ES256", "Ed25519", "RS256", "PS256"], create: withDpop },
};

/** The name of this algorithm was `EdDSA` before RFC 9864. */
const named = (algorithm, { modifyAssertion }) => ({
  [modifyAssertion]: (header) => {
    header.alg = algorithm;
  },
});

/** The type of key that an algorithm needs. */
const keyType = (algorithm) => (algorithm === "EdDSA" ? "Ed25519" : algorithm);

async function withOauth4webapi({ issuer, id, secret, algorithm }) {
  const [noted, notes] = noting();
  const options = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: noted };
  const url = new URL(issuer);
  const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options));
  const client = { client_id: id };
  const keys = await oauth.generateKeyPair(keyType(algorithm));
  const handle = oauth.DPoP(client, keys, named(algorithm, oauth));

  /** Sends again, once, what needs a nonce, which the handle has stored. */
  const withRetry = (send) => send().catch((error) => (oauth.isDPoPNonceError(error) ? send() : Promise.reject(error)));

  let token;
  return {
    notes,
    jkt: () => handle.calculateThumbprint(),
    getToken: () =>
      withRetry(async () => {
        const answer = await oauth.clientCredentialsGrantRequest(
          server,
          client,
          oauth.ClientSecretPost(secret),
          new URLSearchParams(),
          { ...options, DPoP: handle },
        );
        const issued = await oauth.processClientCredentialsResponse(server, client, answer);
        token = issued.access_token;
        return issued;
      }),
    call: (target) =>
      withRetry(() =>
        oauth.protectedResourceRequest(token, "GET", new URL(target), undefined, undefined, {
          ...options,
          DPoP: handle,
        }),
      ),
  };
}

async function withOpenidClient({ issuer, id, secret, algorithm }) {
  const [noted, notes] = noting();
  const config = await openid.discovery(new URL(issuer), id, secret, openid.ClientSecretPost(secret), {
    execute: [openid.allowInsecureRequests],
    [openid.customFetch]: noted,
    algorithm: "oauth2",
  });
  const keys = await openid.randomDPoPKeyPair(keyType(algorithm));
  const handle = openid.getDPoPHandle(config, keys, named(algorithm, openid));
  let token;
  return {
    notes,
    jkt: () => handle.calculateThumbprint(),
    async getToken() {
      const issued = await openid.clientCredentialsGrant(config, {}, { DPoP: handle });
      token = issued.access_token;
      return issued;
    },
    call: (target) =>
      openid.fetchProtectedResource(config, token, new URL(target), "GET", undefined, undefined, { DPoP: handle }),
  };
}

/** The library makes proofs only. A caller adds the nonces. */
async function withDpop({ issuer, id, secret, algorithm }) {
  const [noted, notes] = noting();
  const { token_endpoint: endpoint } = await (
    await noted(`${issuer}/.well-known/openid-configuration`, {})
  ).json();
  const keys = await dpop.generateKeyPair(algorithm);
  const nonces = {};
  const withRetry = async (send, origin) => {
    for (let attempts = 0; ; attempts += 1) {
      const answer = await send(nonces[origin]);
      const nonce = answer.headers.get("dpop-nonce");
      if (nonce) nonces[origin] = nonce;
      const isAsked = answer.status === 401 || answer.status === 400;
      if (!isAsked || !nonce || attempts > 0) return answer;
    }
  };
  let token;
  return {
    notes,
    jkt: () => dpop.calculateThumbprint(keys.publicKey),
    async getToken() {
      const form = { grant_type: "client_credentials", client_id: id, client_secret: secret };
      const answer = await withRetry(
        async (nonce) =>
          noted(endpoint, {
            method: "POST",
            headers: { dpop: await dpop.generateProof(keys, endpoint, "POST", nonce) },
            body: new URLSearchParams(form),
          }),
        issuer,
      );
      const issued = await answer.json();
      token = issued.access_token;
      return issued;
    },
    call: (target) =>
      withRetry(
        async (nonce) =>
          noted(target, {
            headers: {
              authorization: `DPoP ${token}`,
              dpop: await dpop.generateProof(keys, target, "GET", nonce, token),
            },
          }),
        new URL(target).origin,
      ),
  };
}
