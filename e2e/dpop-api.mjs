// The API of the suites on bound tokens: the `configured` example with DPoP.

import { randomBytes } from "node:crypto";
import { freePortPair } from "./browser-quickstart.mjs";
import { startApi } from "./oidc-api.mjs";

/**
 * Starts the API at a port that is chosen before, since proofs name the URL of the API. `dpop` are settings for proofs,
 * `provider` and `policy` other settings.
 */
export async function startBoundApi(issuer, { audience, dpop = {}, provider = {}, policy = {}, settings } = {}) {
  const port = await freePortPair();
  const url = `http://127.0.0.1:${port}`;
  return startApi(
    {
      providers: {
        issuer: { issuer: issuer.issuer, audience, keys: issuer.jwksUri, dpop: "allowed", ...provider },
      },
      dpop: { base_urls: [url], ...dpop },
      key_refresh_minutes: 5,
      public_paths: ["/health"],
      ...policy,
    },
    settings,
    port,
  );
}

/** Settings for proofs that require nonces. */
export const nonces = () => ({ nonce_secret: randomBytes(32).toString("base64url") });
