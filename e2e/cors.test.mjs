// What a script of another origin can read of each answer, in a real browser, with the recipe of docs/cors.md:
// `node --test cors.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, suite, test } from "node:test";

import { launchBrowser } from "./browser-page.mjs";
import { startQuickstart } from "./browser-quickstart.mjs";
import { TEST, WAIT_MS } from "./limits.mjs";
import { startApi, stopApis } from "./oidc-api.mjs";
import { request } from "./oidc-requests.mjs";

const challenge = (rest) => `Bearer realm="api"${rest}`;
const FORBIDDEN =
  'Bearer scope="orders:read", realm="api", error="insufficient_scope", ' +
  'error_description="The token does not permit this."';

suite("cross-origin, with credentials", () => {
  let browser;
  /** Started for its identity provider. */
  let quickstart;
  /** An API with keys, and one without. */
  let api;
  let withoutKeys;
  /** Empty pages. One name of the host is an allowed origin, the other name is not. */
  let site;

  before(async () => {
    browser = await launchBrowser();
    quickstart = await startQuickstart();
    site = createServer((_, answer) => {
      answer.setHeader("content-type", "text/html");
      answer.end("<!doctype html><link rel=icon href=data:,><title>A page</title>");
    });
    site.listen(0, "127.0.0.1");
    await once(site, "listening");
    const policy = (keys) => ({
      providers: { quickstart: { issuer: quickstart.issuer, audience: "quickstart-api", keys } },
      key_refresh_minutes: 5,
    });
    const settings = { allowed_origin: origin("127.0.0.1") };
    api = await startApi(policy(`${quickstart.issuer}/jwks.json`), settings);
    withoutKeys = await startApi(policy(`${quickstart.issuer}/none.json`), settings);
  }, TEST);

  after(async () => {
    site?.close();
    await Promise.allSettled([browser?.close(), quickstart?.stop(), stopApis()]);
  }, TEST);

  const origin = (host) => `http://${host}:${site.address().port}`;

  /** A test with a page of its own. `requests` has the requests of the browser. */
  const onPage = (name, host, body) =>
    test(name, TEST, async () => {
      const context = await browser.newContext();
      context.setDefaultTimeout(WAIT_MS);
      try {
        const page = await context.newPage();
        const requests = [];
        const session = await context.newCDPSession(page);
        session.on("Network.requestWillBeSent", ({ request }) => requests.push(request));
        session.on("Network.responseReceived", ({ type, response }) => {
          if (type === "Preflight") requests.push({ method: "PREFLIGHT", url: response.url });
        });
        await session.send("Network.enable");
        await page.goto(origin(host));
        await body({ page, context, requests });
      } finally {
        await context.close();
      }
    });

  async function mint(parameters = {}) {
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "quickstart",
      client_secret: "quickstart",
      ...parameters,
    });
    const answer = await request(`${quickstart.issuer}/token`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
    });
    return JSON.parse(answer.text).access_token;
  }

  onPage("a script of an allowed origin reads each answer and its challenge", "127.0.0.1", async ({ page }) => {
    const good = await mint();
    const rejected = (description) =>
      challenge(`, error="invalid_token", error_description="${description}"`);
    for (const [url, token, expected] of [
      [`${api.url}/me`, good, { status: 200, error: null }],
      [`${api.url}/me`, undefined, { status: 400, challenge: challenge(""), error: "invalid_request" }],
      [`${api.url}/me`, "x.y.z", { status: 401, challenge: rejected("The token is not an acceptable JWT."), error: "invalid_token" }],
      [`${api.url}/me`, await mint({ expires_in: "-60" }), { status: 401, challenge: rejected("The token has expired."), error: "invalid_token" }],
      [`${api.url}/orders`, good, { status: 403, challenge: FORBIDDEN, error: "insufficient_scope" }],
      [`${api.url}/nowhere`, good, { status: 404, error: null }],
      [`${withoutKeys.url}/me`, good, { status: 503, retryAfter: "N", error: "temporarily_unavailable" }],
    ]) {
      const seen = await page.evaluate(read, [url, token]);
      assert.deepEqual(seen, { challenge: null, retryAfter: null, ...expected }, url);
    }
  });

  onPage("three calls with cookies need one preflight", "127.0.0.1", async ({ page, context, requests }) => {
    await context.addCookies([{ name: "balancer", value: "b7", url: api.url }]);
    const token = await mint();
    const sent = page.waitForRequest((request) => request.url() === `${api.url}/me` && request.method() === "GET");
    for (let call = 0; call < 3; call += 1) {
      // With "no-store" the browser would send a preflight each time.
      const { status } = await page.evaluate(read, [`${api.url}/me`, token, "default"]);
      assert.equal(status, 200);
    }
    assert.match((await (await sent).allHeaders()).cookie ?? "", /balancer=b7/);
    const preflights = requests.filter(({ method, url }) => method === "PREFLIGHT" && url === `${api.url}/me`);
    assert.equal(preflights.length, 1);
  });

  onPage("a script of an origin that is not allowed reads no answer", "localhost", async ({ page }) => {
    const token = await mint();
    for (const sent of [token, undefined, "x.y.z"]) {
      const seen = await page.evaluate(read, [`${api.url}/me`, sent]);
      assert.deepEqual(seen, { failed: "TypeError" });
    }
  });
});

/** Runs in the page. */
async function read([url, token, cache = "no-store"]) {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  let response;
  try {
    response = await fetch(url, { credentials: "include", cache, headers });
  } catch (error) {
    return { failed: error.name };
  }
  const text = await response.text();
  return {
    status: response.status,
    challenge: response.headers.get("www-authenticate"),
    // The number of seconds depends on the backoff at the time of the request.
    retryAfter: response.headers.get("retry-after")?.replace(/^[1-9][0-9]?$/, "N") ?? null,
    error: text.startsWith("{") ? (JSON.parse(text).error ?? null) : null,
  };
}
