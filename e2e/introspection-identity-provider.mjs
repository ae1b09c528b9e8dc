// The OpenID provider of the suite: `oidc-provider`, on loopback, with opaque tokens, introspection (RFC 7662, RFC 9701),
// revocation (RFC 7009) and token exchange (RFC 8693).

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import Provider, { errors } from "oidc-provider";
import { request } from "./oidc-requests.mjs";

export const API = "https://api.example.test";
export const OTHER_API = "https://other.example.test";
export const SCOPE = "orders:read";
export const SUBJECT = "alice";
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

/** The client that users log in to, and that may revoke its tokens. */
const WEB_APP = { client_id: "web-app", client_secret: randomBytes(32).toString("base64url") };

const { privateKey: assertionKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** How the API authenticates: the settings for each method. Ids and secrets have characters that need encoding. */
export const CLIENTS = {
  client_secret_basic: { client_id: "api:basic", client_secret: "a b%+&=:/~?#" },
  client_secret_post: { client_id: "api:post", client_secret: "c d%+&=:/~?#" },
  private_key_jwt: {
    client_id: "api:key",
    private_key: assertionKey.export({ type: "pkcs8", format: "pem" }),
    key_id: "assertions",
  },
};

/** Starts the provider. */
export async function startIdentityProvider() {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  provider.on("server_error", (_ctx, error) => console.error(error));
  provider.registerGrantType(EXCHANGE, (ctx) => exchange(provider, ctx), [
    ...["subject_token", "subject_token_type", "requested_token_type", "audience", "scope", "resource"],
  ]);
  const paths = [];
  const serve = provider.callback();
  server.on("request", (incoming, outgoing) => {
    paths.push(incoming.url);
    serve(incoming, outgoing);
  });
  return new IdentityProvider(server, provider, issuer, paths);
}

class IdentityProvider {
  #server;
  #provider;
  #paths;

  constructor(server, provider, issuer, paths) {
    this.#server = server;
    this.#provider = provider;
    this.#paths = paths;
    this.issuer = issuer;
  }

  /** Returns how often a path was requested. */
  requests(path) {
    return this.#paths.filter((requested) => requested === path).length;
  }

  /** Issues an opaque access token to the web app. */
  async accessToken({ resource = API, scope = SCOPE } = {}) {
    const token = new this.#provider.AccessToken(await this.#granted(resource, scope));
    token.resourceServer = resourceServer(this.#provider, resource, "opaque");
    return token.save();
  }

  /** Issues a refresh token to the web app. */
  async refreshToken() {
    return new this.#provider.RefreshToken(await this.#granted(API, SCOPE)).save();
  }

  /** Revokes a token (RFC 7009). */
  async revoke(token) {
    const answer = await request(`${this.issuer}/token/revocation`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ token, ...WEB_APP }).toString(),
    });
    if (answer.status !== 200) throw new Error(`not revoked: ${answer.status} ${answer.text}`);
  }

  async stop() {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #granted(resource, scope) {
    const client = await this.#provider.Client.find(WEB_APP.client_id);
    const grant = new this.#provider.Grant({ clientId: client.clientId, accountId: SUBJECT });
    grant.addResourceScope(resource, scope);
    const grantId = await grant.save();
    return { client, accountId: SUBJECT, grantId, scope, gty: "authorization_code" };
  }
}

/** Exchanges an opaque token for a JWT of another resource, which does not outlive it. */
async function exchange(provider, ctx) {
  const { params, client } = ctx.oidc;
  if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest("subject_token_type");
  const subject = await provider.AccessToken.find(params.subject_token);
  if (!subject?.isValid) throw new errors.InvalidRequest("subject_token");
  // Only a service may exchange a token, and only one that it got.
  if (subject.aud !== API) throw new errors.InvalidRequest("subject_token is not for this service");
  if (params.resource !== OTHER_API) throw new errors.InvalidTarget();
  const granted = new Set(subject.scope?.split(" "));
  if (!params.scope.split(" ").every((scope) => granted.has(scope))) throw new errors.InvalidScope("scope", params.scope);
  const { accountId, grantId } = subject;
  const token = new provider.AccessToken({ client, accountId, grantId, scope: params.scope, gty: EXCHANGE });
  token.resourceServer = resourceServer(provider, OTHER_API, "jwt");
  token.expiresIn = Math.min(subject.remainingTTL, 600);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN,
    token_type: "Bearer",
    expires_in: token.expiresIn,
    scope: params.scope,
  };
}

function resourceServer(provider, resource, accessTokenFormat) {
  return new provider.ResourceServer(resource, {
    audience: resource,
    scope: SCOPE,
    accessTokenFormat,
    jwt: { sign: { alg: "RS256" } },
  });
}

function configuration() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: "tokens" };
  const { crv, kty, x, y } = assertionKey.export({ format: "jwk" });
  const service = { grant_types: [EXCHANGE], redirect_uris: [], response_types: [] };
  const clients = Object.entries(CLIENTS).map(([method, { client_id, client_secret }]) => ({
    ...service,
    client_id,
    token_endpoint_auth_method: method,
    ...(client_secret && { client_secret }),
    ...(method === "private_key_jwt" && {
      jwks: { keys: [{ crv, kty, x, y, alg: "ES256", use: "sig", kid: "assertions" }] },
      token_endpoint_auth_signing_alg: "ES256",
    }),
    introspection_signed_response_alg: "RS256",
  }));
  const web = { redirect_uris: ["https://app.example.test/callback"], token_endpoint_auth_method: "client_secret_post" };
  return {
    jwks: { keys: [jwk] },
    clients: [...clients, { ...WEB_APP, ...web }],
    cookies: { keys: [randomBytes(32).toString("hex")] },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
    ttl: { AccessToken: 600, Grant: 600, RefreshToken: 600 },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
    },
  };
}
