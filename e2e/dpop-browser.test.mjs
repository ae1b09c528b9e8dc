// A page with a key that cannot leave the browser calls the API of another origin by `fetch` and WebSocket with DPoP
// (RFC 9449): `node --test dpop-browser.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`. The environment
// variables CONFIGURED and QUICKSTART name other binaries, and CHROMIUM another browser.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { after, before, suite, test } from "node:test";

import { Page, launchBrowser, openPage } from "./browser-page.mjs";
import { startQuickstart } from "./browser-quickstart.mjs";
import { nonces, startBoundApi } from "./dpop-api.mjs";
import { TEST } from "./limits.mjs";
import { stopApis } from "./oidc-api.mjs";
import { request } from "./oidc-requests.mjs";

const AUDIENCE = "quickstart-api";

suite("a page with DPoP", () => {
  let browser, quickstart, origin, server, api, page, jkt, issued, clientId;

  before(async () => {
    browser = await launchBrowser();
    quickstart = await startQuickstart();
    server = servePage();
    await once(server, "listening");
    origin = `http://127.0.0.1:${server.address().port}`;
    api = await startBoundApi(
      { issuer: quickstart.issuer, jwksUri: `${quickstart.issuer}/jwks.json` },
      {
        audience: AUDIENCE,
        dpop: nonces(),
        provider: { dpop: "required" },
        policy: { token_from_subprotocol: true },
        settings: { allowed_origin: origin },
      },
    );
    page = await openPage(browser, origin, Page);
    jkt = await run("createKey");
    clientId = await registerPublicClient();
    issued = await run("getTokens", `${quickstart.issuer}/token`, await signIn());
  }, TEST);

  after(async () => {
    await page?.close();
    await browser?.close();
    server?.close();
    await stopApis();
    await quickstart?.stop();
  }, TEST);

  /** Runs a function of the page. */
  const run = (name, ...words) =>
    page.page.evaluate(([name, words]) => window.client[name](...words), [name, words]);
  const token = () => issued.access_token;
  const me = () => `${api.url}/me`;
  const socketUrl = () => `${api.webSocketUrl}/ws`;

  test("no script can read its private key", TEST, async () => {
    assert.equal(await run("exportKey"), "InvalidAccessError");
  });

  test("it gets a bound token of a user, and a refresh token that only its key can use", TEST, async () => {
    assert.equal(issued.token_type, "DPoP");
    const claims = JSON.parse(Buffer.from(issued.access_token.split(".")[1], "base64url"));
    assert.deepEqual(claims.cnf, { jkt });
    assert.equal(claims.sub, "ann");

    const form = { grant_type: "refresh_token", client_id: clientId, refresh_token: issued.refresh_token };
    const endpoint = `${quickstart.issuer}/token`;
    const stolen = await fetch(endpoint, { method: "POST", body: new URLSearchParams(form) });
    assert.equal((await stolen.json()).error, "invalid_grant");
    issued = await run("getTokens", endpoint, form);
    assert.equal(issued.token_type, "DPoP", JSON.stringify(issued));
  });

  test("fetch reads the nonce of another origin, and repeats the call with it", TEST, async () => {
    const [first, second, ...more] = await run("call", me(), token());
    assert.equal(first.status, 401);
    assert.match(first.challenge, /^DPoP .*algs="[^"]+", error="use_dpop_nonce"/);
    assert.match(first.nonce, /^[\w-]+$/);
    assert.deepEqual([second.status, second.body.claims.cnf], [200, { jkt }]);
    assert.deepEqual(more, []);
    assert.equal((await run("call", me(), token())).length, 1, "the nonce serves for the next call");

    const preflights = page.seen.exchanges.filter(({ type, url }) => type === "Preflight" && url.startsWith(api.url));
    assert.deepEqual(preflights.map(({ status }) => status), [200]);
  });

  test("fetch reads why its token is refused as a bearer token", TEST, async () => {
    const [answer] = await run("call", me(), token(), "Bearer");
    assert.equal(answer.status, 401);
    assert.match(answer.challenge, /error="invalid_token"/);
  });

  test("a WebSocket opens with the token and the proof as subprotocols, once", TEST, async () => {
    // The example has no subprotocol of its own, and `dpop` answers the offer.
    const opened = { protocol: "dpop", messages: ["hello ann"], code: 1005, reason: "" };
    assert.deepEqual(await run("openWithProof", socketUrl(), token()), opened);
    // Libraries that know https only make a proof for it.
    const forHttp = await run("proofFor", "GET", `${api.url}/ws`, token());
    assert.deepEqual(await run("openWithProof", socketUrl(), token(), forHttp), opened);

    const again = await run("openWithProof", socketUrl(), token(), forHttp);
    assert.deepEqual([again.code, again.reason, again.messages], [1008, "invalid proof", []]);
    const forFetch = await run("proofFor", "GET", me(), token());
    const elsewhere = await run("openWithProof", socketUrl(), token(), forFetch);
    assert.deepEqual([elsewhere.code, elsewhere.reason], [1008, "invalid proof"]);
  });

  test("a WebSocket without a nonce is closed, and fetch gets the nonce for it", TEST, async () => {
    const fresh = await openPage(browser, origin, Page);
    const runIn = (name, ...words) =>
      fresh.page.evaluate(([name, words]) => window.client[name](...words), [name, words]);
    try {
      await runIn("createKey");
      const bound = await runIn("getTokens", `${quickstart.issuer}/token`, await signIn());
      const refused = await runIn("openWithProof", socketUrl(), bound.access_token);
      assert.deepEqual([refused.code, refused.reason], [1008, "nonce required"]);
      await runIn("call", me(), bound.access_token);
      const opened = await runIn("openWithProof", socketUrl(), bound.access_token);
      assert.deepEqual(opened.messages, ["hello ann"]);
      await fresh.close();
    } finally {
      await fresh.context.close();
    }
  });

  test("a WebSocket can have no headers, and a bound token needs more than `bearer`", TEST, async () => {
    // The second argument of the constructor is a list of subprotocols, and there is no third one.
    const options = { headers: { Authorization: `DPoP ${token()}` } };
    assert.equal(await run("open", socketUrl(), options), "SyntaxError");
    const asBearer = await run("open", socketUrl(), ["bearer", token(), "chat"]);
    assert.deepEqual([asBearer.code, asBearer.reason], [1008, "invalid token"]);
    const without = await run("open", socketUrl(), ["dpop", token()]);
    assert.equal(without.code, 1008);
  });

  async function registerPublicClient() {
    const answer = await request(`${quickstart.issuer}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        client_name: "A page",
        redirect_uris: [`${origin}/callback`],
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", "refresh_token"],
      }),
    });
    return JSON.parse(answer.text).client_id;
  }

  /** Signs a user in, as the browser would by redirects. Returns the token request for the code. */
  async function signIn() {
    const verifier = randomBytes(32).toString("base64url");
    const redirect_uri = `${origin}/callback`;
    const query = new URLSearchParams({
      response_type: "code",
      client_id: clientId,
      redirect_uri,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const shown = await request(`${quickstart.issuer}/authorize?${query}`);
    const [, form] = /name="form" value="([^"]+)"/.exec(shown.text);
    const answered = await request(`${quickstart.issuer}/authorize`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ form, user: "ann", answer: "approve" }).toString(),
    });
    const code = new URL(answered.headers.location).searchParams.get("code");
    return { grant_type: "authorization_code", client_id: clientId, redirect_uri, code, code_verifier: verifier };
  }
});

/** Serves an empty page with the client. */
function servePage() {
  const script = readFileSync(new URL("dpop-page.js", import.meta.url));
  const files = {
    "/": ["text/html", '<!doctype html><link rel="icon" href="data:,"><body><p>A page</p><script src="page.js"></script>'],
    "/page.js": ["text/javascript", script],
  };
  const server = http.createServer(({ url }, response) => {
    const [type, body] = files[url] ?? [];
    response.writeHead(body ? 200 : 404, { "content-type": type ?? "text/plain" }).end(body);
  });
  return server.listen(0, "127.0.0.1");
}
