// The issuer of the MCP suites: `oidc-provider` on loopback, with dynamic registration, PKCE, a login page, a consent
// page, and JWT access tokens for one resource.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import Provider from "oidc-provider";

import { WAIT_MS } from "./limits.mjs";
import { generateKeysWithoutAlgorithm } from "./oidc-identity-provider.mjs";

const SCOPES = ["mcp:use", "orders:read", "refunds:write"];

/** An issuer. Set `resource` before the first login. */
export class Issuer {
  /** The only resource that it issues tokens for. */
  resource;
  /** The lifetime of the next access tokens, in seconds. */
  lifetime = 600;
  /** The users that logged in, and all token responses: { type, resource, client, scope, token, at }. */
  logins = [];
  grants = [];
  #server;

  async start() {
    // Not closed while a client is about to reuse a connection.
    this.#server = http.createServer({ keepAliveTimeout: WAIT_MS });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    const provider = new Provider(this.url, await this.#configuration());
    provider.on("server_error", (_ctx, error) => console.error(error));
    provider.on("authorization.success", (ctx) => this.logins.push(ctx.oidc.session.accountId));
    provider.on("grant.success", (ctx) => {
      const { params, client } = ctx.oidc;
      const { access_token: token, scope } = ctx.body;
      const { grant_type: type, resource } = params;
      this.grants.push({ type, resource, client: client.clientId, scope, token, at: Date.now() });
    });
    this.#server.on("request", provider.callback());
  }

  async stop() {
    if (!this.#server?.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #configuration() {
    return {
      jwks: { keys: await generateKeysWithoutAlgorithm() },
      cookies: { keys: [randomBytes(32).toString("hex")] },
      scopes: ["openid", "offline_access", ...SCOPES],
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
      rotateRefreshToken: true,
      // A registration names the scopes of the first login. It must not forbid those of later ones.
      extraClientMetadata: {
        properties: ["first_scope"],
        validator: (_ctx, _key, _value, metadata) => delete metadata.scope,
      },
      // Browsers may use any client.
      clientBasedCORS: () => true,
      ttl: { Grant: 3600, Interaction: 600, Session: 3600, RefreshToken: 3600 },
      features: {
        // The login page accepts any user.
        devInteractions: { enabled: true },
        registration: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource) => {
            if (resource !== this.resource) throw new Error(`unexpected resource ${resource}`);
            return {
              audience: resource,
              scope: SCOPES.join(" "),
              accessTokenFormat: "jwt",
              accessTokenTTL: this.lifetime,
              jwt: { sign: { alg: "ES256" } },
            };
          },
        },
      },
    };
  }
}
