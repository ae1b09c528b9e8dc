// The OpenID provider of the suite: `oidc-provider`, on loopback, with keys generated at the start.

import { createHash, generateKeyPair, randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { promisify } from "node:util";
import Provider from "oidc-provider";
import { request } from "./oidc-requests.mjs";

/** The resource of the API under test, and another one. */
export const API = "https://api.example.test";
export const OTHER_API = "https://other.example.test";
export const SCOPE = "orders:read";

/** The asymmetric algorithms that the provider signs with. */
export const ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

/** A client whose tokens are signed with RS256 and last one second. */
export const SHORT_LIVED = "short-lived";

/** A client that users log in to. */
export const WEB_APP = "web-app";
const CALLBACK = "https://app.example.test/callback";
const USER = "alice";

const generate = promisify(generateKeyPair);

/** Returns the client whose tokens are signed with this algorithm. */
export const clientOf = (algorithm) => `client-${algorithm}`;

/** Generates private JWKs: one for each algorithm, with `alg`, and one for encryption. */
export async function generateKeys() {
  return Promise.all([
    jwk("rsa", { modulusLength: 2048 }, { alg: "RS256", use: "sig" }),
    jwk("rsa", { modulusLength: 2048 }, { alg: "PS256", use: "sig" }),
    jwk("ec", { namedCurve: "P-256" }, { alg: "ES256", use: "sig" }),
    jwk("ed25519", {}, { alg: "EdDSA", use: "sig" }),
    jwk("ed25519", {}, { alg: "Ed25519", use: "sig" }),
    jwk("ec", { namedCurve: "P-256" }, { alg: "ECDH-ES", use: "enc" }),
  ]);
}

/** Generates private JWKs: one for each key type, without `alg`, for all algorithms of the type. */
export async function generateKeysWithoutAlgorithm() {
  return Promise.all([
    jwk("rsa", { modulusLength: 2048 }, {}),
    jwk("ec", { namedCurve: "P-256" }, {}),
    jwk("ed25519", {}, {}),
  ]);
}

async function jwk(type, options, members) {
  const { privateKey } = await generate(type, options);
  const kid = randomBytes(8).toString("hex");
  return { ...privateKey.export({ format: "jwk" }), ...members, kid };
}

/** A provider at one address. It can be stopped and started again, also with other keys. */
export class IdentityProvider {
  #secrets = new Map();
  #server;
  #port;

  /** Where the provider sends the logout tokens of the client of users. None if it sends none. */
  logoutUri;

  /** Why the last logout token was not delivered. */
  logoutFailure;

  constructor() {
    for (const id of [...ALGORITHMS.map(clientOf), SHORT_LIVED, WEB_APP]) {
      this.#secrets.set(id, randomBytes(32).toString("base64url"));
    }
  }

  get issuer() {
    return `http://127.0.0.1:${this.#port}`;
  }

  get jwksUri() {
    return `${this.issuer}/jwks`;
  }

  async start(keys) {
    this.#server = http.createServer();
    if (this.#port === undefined) {
      this.#port = await listenSomewhere(this.#server);
    } else {
      await listen(this.#server, this.#port);
    }
    const provider = new Provider(this.issuer, this.#configuration(keys));
    provider.on("server_error", (_ctx, error) => console.error(error));
    provider.on("backchannel.error", (_ctx, error) => (this.logoutFailure = `${error}: ${error.cause}`));
    const serve = provider.callback();
    this.#server.on("request", (incoming, outgoing) => {
      // Instead of a login page: all users are the same.
      if (incoming.url.startsWith("/login/")) {
        const result = { login: { accountId: USER } };
        provider.interactionFinished(incoming, outgoing, result).catch((error) => {
          console.error(error);
          outgoing.destroy();
        });
      } else {
        serve(incoming, outgoing);
      }
    });
  }

  /** Stops the server and closes all connections to it. */
  async stop() {
    if (!this.#server?.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Returns an access token of the client credentials grant (RFC 6749 §4.4). */
  async clientToken(client, { resource = API, scope } = {}) {
    const answer = await this.#requestTokens(client, {
      grant_type: "client_credentials",
      ...(resource && { resource }),
      ...(scope && { scope }),
    });
    return answer.access_token;
  }

  /** Returns tokens of the authorization code grant (RFC 6749 §4.1): { access_token, id_token }. */
  async userTokens() {
    return (await this.login()).tokens;
  }

  /** Logs a user in with a new browser. Returns the tokens, and the cookies of the session. */
  async login() {
    const verifier = randomBytes(32).toString("base64url");
    const query = new URLSearchParams({
      client_id: WEB_APP,
      response_type: "code",
      redirect_uri: CALLBACK,
      scope: `openid ${SCOPE}`,
      resource: API,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const cookies = new Map();
    let url = `${this.issuer}/auth?${query}`;
    for (let hops = 0; !url.startsWith(CALLBACK); hops += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const answer = await request(url, { headers: cookie ? { cookie } : {} });
      const { location } = answer.headers;
      if (!location || hops > 10) throw new Error(`no login: ${answer.status} ${answer.text}`);
      for (const set of answer.headers["set-cookie"] ?? []) {
        const [name, value] = set.split(";")[0].split("=");
        cookies.set(name, value);
      }
      url = new URL(location, url).href;
    }
    const tokens = await this.#requestTokens(WEB_APP, {
      grant_type: "authorization_code",
      code: new URL(url).searchParams.get("code"),
      redirect_uri: CALLBACK,
      code_verifier: verifier,
      resource: API,
    });
    return { tokens, cookies };
  }

  /** Logs the user of a login out, as the user does on the page of the provider. */
  async logout({ tokens, cookies }) {
    const cookie = () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const query = new URLSearchParams({ id_token_hint: tokens.id_token });
    const page = await request(`${this.issuer}/session/end?${query}`, { headers: { cookie: cookie() } });
    for (const set of page.headers["set-cookie"] ?? []) {
      const [name, value] = set.split(";")[0].split("=");
      cookies.set(name, value);
    }
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1];
    if (!xsrf) throw new Error(`no page of the logout: ${page.status} ${page.text}`);
    const answer = await request(`${this.issuer}/session/end/confirm`, {
      method: "POST",
      headers: { cookie: cookie(), "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ xsrf, logout: "yes" }).toString(),
    });
    if (answer.status !== 303) throw new Error(`no logout: ${answer.status} ${answer.text}`);
  }

  async #requestTokens(client, form) {
    const credentials = Buffer.from(`${client}:${this.#secrets.get(client)}`).toString("base64");
    const answer = await request(`${this.issuer}/token`, {
      method: "POST",
      headers: {
        authorization: `Basic ${credentials}`,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: new URLSearchParams(form).toString(),
    });
    if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text);
  }

  #configuration(keys) {
    const client = (client_id) => ({ client_id, client_secret: this.#secrets.get(client_id) });
    const machine = (id) => ({
      ...client(id),
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    });
    return {
      jwks: { keys },
      clients: [
        ...ALGORITHMS.map((algorithm) => machine(clientOf(algorithm))),
        machine(SHORT_LIVED),
        {
          ...client(WEB_APP),
          redirect_uris: [CALLBACK],
          ...(this.logoutUri && {
            backchannel_logout_uri: this.logoutUri,
            backchannel_logout_session_required: true,
          }),
        },
      ],
      cookies: { keys: [randomBytes(32).toString("hex")] },
      interactions: { url: (_ctx, interaction) => `/login/${interaction.uid}` },
      findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      // Instead of a consent page.
      loadExistingGrant: async (ctx) => {
        const { client, session } = ctx.oidc;
        const grant = new ctx.oidc.provider.Grant({
          clientId: client.clientId,
          accountId: session.accountId,
        });
        grant.addOIDCScope("openid");
        grant.addResourceScope(API, SCOPE);
        await grant.save();
        return grant;
      },
      ttl: {
        AccessToken: 600,
        ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 600,
        Grant: 600,
        IdToken: 600,
        Interaction: 600,
        Session: 600,
      },
      // Without the dispatcher that refuses loopback addresses, where the API is.
      fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options),
      // The logout tokens of the client have the same.
      extraTokenClaims: (ctx) => {
        const sid = ctx.oidc.entities.AuthorizationCode?.sid;
        return sid && { sid };
      },
      features: {
        backchannelLogout: { enabled: true },
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        // For the encryption key, which decrypts request objects of clients.
        encryption: { enabled: true },
        requestObjects: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_ctx, resource, { clientId }) => ({
            audience: resource,
            scope: SCOPE,
            accessTokenFormat: "jwt",
            accessTokenTTL: clientId === SHORT_LIVED ? 1 : 600,
            jwt: {
              sign: { alg: ALGORITHMS.find((alg) => clientOf(alg) === clientId) ?? "RS256" },
            },
          }),
        },
      },
    };
  }
}

/** Returns a port that a program may listen on. */
export async function freePort() {
  const server = http.createServer();
  const port = await listenSomewhere(server);
  server.close();
  await once(server, "close");
  return port;
}

/** Listens on a port below those of outgoing connections, so that no other process takes it while the server is down. */
async function listenSomewhere(server) {
  for (let attempts = 0; ; attempts += 1) {
    const port = randomInt(20_000, 32_000);
    try {
      await listen(server, port);
      return port;
    } catch (error) {
      if (error.code !== "EADDRINUSE" || attempts > 20) throw error;
    }
  }
}

async function listen(server, port) {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
}
