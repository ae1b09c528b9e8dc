// The quickstart's page in a real browser, and what a script there can read of each rejection:
// `node --test browser.test.mjs`. Build first: `cargo build -p oauth2-actix-examples`. The
// environment variable QUICKSTART names another binary, and CHROMIUM another browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, suite, test } from "node:test";

import { launchBrowser, openPage } from "./browser-page.mjs";
import { freePortPair, occupy, runToEnd, startQuickstart } from "./browser-quickstart.mjs";
import { CONCURRENCY, TEST, WAIT_MS } from "./limits.mjs";
import { startApi, stopApis } from "./oidc-api.mjs";

const REALM = 'Bearer realm="api"';
const challenge = (error, description) =>
  `${REALM}, error="${error}", error_description="${description}"`;
const BAD_SIGNATURE = challenge("invalid_token", "The token's signature is not accepted.");
const EXPIRED = challenge("invalid_token", "The token has expired.");
const FORBIDDEN = challenge("insufficient_scope", "The token does not permit this.");

suite("in a browser", { concurrency: CONCURRENCY }, () => {
  let browser;

  before(async () => (browser = await launchBrowser()), TEST);
  after(() => browser?.close(), TEST);

  /** A test with a quickstart and a page of its own. */
  const onPage = (name, body, host = "127.0.0.1") =>
    test(name, TEST, async () => {
      const quickstart = await startQuickstart();
      let page;
      try {
        page = await openPage(browser, `${quickstart.url.replace("127.0.0.1", host)}/`);
        await body(page, quickstart);
        await page.close();
      } finally {
        await page?.context.close();
        await quickstart.stop();
      }
    });

  onPage("a minted token is shown decoded, and /me accepts it", async (page, { issuer }) => {
    await page.mint({ claims: { sub: "carol", role: "user", nested: { of: [1, "ä"] } } });
    assert.equal(JSON.parse(await page.text("#token-header")).kid, "key-1");
    const claims = JSON.parse(await page.text("#token-claims"));
    assert.equal(claims.iss, issuer);
    assert.equal(claims.exp - claims.iat, 300);
    assert.equal(claims.scope, "read");
    assert.deepEqual(claims.nested, { of: [1, "ä"] });
    await page.showsAt(claims.exp - 299, "#token-remaining", "4 min 59 s left");

    const answer = await page.call("/me");
    assert.deepEqual([answer.status, answer.token], ["200", "valid"]);
    assert.deepEqual(JSON.parse(answer.body), { provider: "quickstart", claims });
  });

  onPage("/admin accepts only tokens of admins", async (page) => {
    await page.mint({ preset: "user" });
    const rejected = await page.call("/admin");
    assert.equal(rejected.status, "403");
    assert.equal(rejected.challenge, FORBIDDEN);
    assert.equal(JSON.parse(rejected.body).error, "insufficient_scope");

    await page.mint({ preset: "admin" });
    const accepted = await page.call("/admin");
    assert.equal(accepted.status, "200");
    assert.deepEqual(JSON.parse(accepted.body), { hello: "root" });
  });

  onPage("a script reads the 503 of an API without keys", async (page, { issuer, url }) => {
    // Another API of the same issuer, with a URL for keys where no server listens.
    const port = await freePortPair();
    const api = await startApi(
      {
        providers: {
          down: { issuer, audience: "quickstart-api", keys: `http://127.0.0.1:${port}/jwks.json` },
        },
        key_refresh_minutes: 5,
        public_paths: ["/health"],
      },
      { allowed_origin: url },
    );
    try {
      const seen = await page.page.evaluate(
        async ({ api, issuer }) => {
          const form = { grant_type: "client_credentials", client_id: "quickstart", client_secret: "quickstart" };
          const minted = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
          const { access_token: token } = await minted.json();
          const answer = await fetch(`${api}/me`, { headers: { authorization: `Bearer ${token}` } });
          return {
            status: answer.status,
            retryAfter: answer.headers.get("retry-after")?.replace(/^[1-9][0-9]?$/, "N") ?? null,
            challenge: answer.headers.get("www-authenticate"),
            error: (await answer.json()).error,
          };
        },
        { api: api.url, issuer },
      );
      assert.deepEqual(seen, { status: 503, retryAfter: "N", challenge: null, error: "temporarily_unavailable" });
    } finally {
      await stopApis();
    }
  });

  onPage("a request without a token gets a bare challenge", async (page) => {
    for (const route of ["/me", "/admin"]) {
      const answer = await page.call(route);
      assert.deepEqual([answer.status, answer.token], ["400", "none"]);
      assert.equal(answer.challenge, REALM);
      assert.equal(JSON.parse(answer.body).error, "invalid_request");
    }
  });

  onPage("a broken token is rejected", async (page) => {
    await page.mint();
    await page.page.locator("#break").click();
    assert.equal(await page.chosen(), "2");
    const broken = await page.call("/me");
    assert.deepEqual([broken.status, broken.token], ["401", "broken"]);
    assert.equal(broken.challenge, BAD_SIGNATURE);

    await page.choose("1");
    assert.equal((await page.call("/me")).status, "200", "the original");

    await page.choose("garbage");
    const garbage = await page.call("/me");
    assert.deepEqual([garbage.status, garbage.token], ["401", "broken"]);
    assert.equal(garbage.challenge, challenge("invalid_token", "The token is not an acceptable JWT."));

    await page.page.locator("#garbage").fill("two words");
    const malformed = await page.call("/me");
    assert.equal(malformed.status, "400");
    assert.equal(
      malformed.challenge,
      challenge("invalid_request", "Send one access token, as Authorization: Bearer TOKEN."),
    );
  });

  onPage("an expired token is rejected", async (page) => {
    await page.page.locator('[data-lifetime="-60"]').click();
    await page.attempt(() => page.page.locator("#mint").click());
    const { exp } = JSON.parse(await page.text("#token-claims"));
    await page.showsAt(exp + 75, "#token-remaining", "expired 1 min 15 s ago");
    const answer = await page.call("/me");
    assert.deepEqual([answer.status, answer.token], ["401", "expired"]);
    assert.equal(answer.challenge, EXPIRED);
  });

  onPage("a token for another audience or issuer is rejected", async (page) => {
    for (const claims of [{ aud: "another-api" }, { iss: "https://other.example" }]) {
      await page.mint({ claims });
      const answer = await page.call("/me");
      assert.equal(answer.status, "401", JSON.stringify(claims));
      assert.equal(
        answer.challenge,
        challenge("invalid_token", "The token is not meant for this resource."),
      );
    }
  });

  onPage("after a rotation, new tokens are accepted and old ones rejected", async (page) => {
    const old = await page.mint();
    assert.equal((await page.call("/me")).status, "200");
    await page.rotate();
    assert.equal(await page.text("#kid"), "key-2");

    await page.mint();
    const answer = await page.call("/me");
    assert.deepEqual([answer.status, answer.token], ["200", "valid"]);

    await page.choose(old);
    const rejected = await page.call("/me");
    assert.deepEqual([rejected.status, rejected.token], ["401", "old-key"]);
    assert.equal(rejected.challenge, BAD_SIGNATURE);
  });

  onPage("the public route accepts requests without a token and with an invalid one", async (page) => {
    assert.equal((await page.call("/")).status, "200");
    await page.choose("garbage");
    assert.equal((await page.call("/")).status, "200");
    await page.mint();
    assert.equal((await page.call("/")).status, "200");
  });

  for (const host of ["127.0.0.1", "localhost"]) {
    const other = host === "localhost" ? "127.0.0.1" : "localhost";
    onPage(
      `a page of ${host} may call ${other}, and reads every rejection`,
      async (page, { url }) => {
        await page.crossOrigin(true);
        const target = url.replace("127.0.0.1", other);
        assert.equal(await page.text("#other-origin"), target);

        const none = await page.call("/me");
        assert.deepEqual([none.status, none.challenge, none.origin], ["400", REALM, "cross"]);
        assert.deepEqual(page.preflights("/me"), [], "a call without a token is a simple one");

        await page.mint();
        assert.equal((await page.call("/me")).status, "200");
        const forbidden = await page.call("/admin");
        assert.deepEqual([forbidden.status, forbidden.challenge], ["403", FORBIDDEN]);
        for (const path of ["/me", "/admin"]) {
          const preflights = page.preflights(path);
          assert.equal(preflights.length, 1, `preflights for ${path}`);
          assert.equal(preflights[0].url, target + path);
          assert.ok([200, 204].includes(preflights[0].status), `${preflights[0].status}`);
        }

        await page.page.locator("#break").click();
        const broken = await page.call("/me");
        assert.deepEqual([broken.status, broken.challenge], ["401", BAD_SIGNATURE]);
        await page.mint({ lifetime: -60 });
        const expired = await page.call("/me");
        assert.deepEqual([expired.status, expired.challenge], ["401", EXPIRED]);
      },
      host,
    );
  }

  onPage("a WebSocket sends the chosen token, and is closed with a reason if it is rejected", async (page) => {
    const rejected = (reason, protocol) => ({
      Opened: "yes",
      ...(protocol && { Protocol: protocol }),
      "Close code": "1008",
      "Close reason": reason,
    });
    for (const cross of [false, true]) {
      await page.crossOrigin(cross);
      await page.choose("none");
      const none = await page.call("/ws");
      assert.deepEqual([none.status, none.token, none.origin], ["1008", "none", cross ? "cross" : "same"]);
      assert.deepEqual(none.fields, rejected("token missing"));

      await page.mint();
      const valid = await page.call("/ws");
      assert.deepEqual([valid.status, valid.outcome, valid.body], ["1000", "accepted", "hello alice"]);
      assert.deepEqual(valid.fields, {
        Opened: "yes",
        Protocol: "bearer",
        "Close code": "1000",
        "Close reason": "none",
      });

      await page.page.locator("#break").click();
      assert.deepEqual((await page.call("/ws")).fields, rejected("invalid token", "bearer"), "broken");
      await page.choose("garbage");
      assert.deepEqual((await page.call("/ws")).fields, rejected("invalid token", "bearer"), "garbage");
      await page.mint({ lifetime: -60 });
      assert.deepEqual((await page.call("/ws")).fields, rejected("token expired", "bearer"), "expired");
    }
    await page.page.locator("#garbage").fill("two words");
    const unsendable = await page.call("/ws");
    assert.equal(unsendable.outcome, "failed");
    assert.match(unsendable.body, /cannot be a subprotocol/);
    assert.match(await page.text("#websocket-note"), /1008 .* “token missing”/);
  });

  onPage("a rejection has an offered subprotocol, never the token", async (page) => {
    const token = await page.mint().then(() => page.text("#encoded"));
    await page.page.locator("#break").click();
    const broken = await page.text("#encoded");
    for (const [offered, protocol, reason] of [
      [["chat"], "chat", "token missing"],
      [[token, "chat"], "chat", "token missing"],
      [["bearer"], "bearer", "invalid request"],
      [["bearer", broken], "bearer", "invalid token"],
      [["bearer", broken, "chat"], "chat", "invalid token"],
      [["chat", "bearer", broken], "chat", "invalid token"],
    ]) {
      const seen = await page.page.evaluate(openWebSocket, [offered, WAIT_MS]);
      assert.deepEqual(seen, { opened: true, protocol, code: 1008, reason, clean: true });
    }
  });

  onPage("the curl line opens a WebSocket with the token", async (page) => {
    await page.mint();
    const line = await page.text("#curl");
    // Three seconds are enough for a user. On a slow machine the greeting may take longer.
    assert.match(line, / --max-time 3 /);
    const { output, code } = await shell(line.replace(" --max-time 3 ", " "), "hello alice");
    assert.notEqual(code, 127, "curl is installed");
    assert.match(output, /^HTTP\/1\.1 101 /m);
    assert.match(output, /hello alice/);
  });

  onPage("claims that are not a JSON object are not sent", async (page) => {
    for (const [claims, problem] of [
      ["{", /^This is not JSON: /],
      ["[1]", /^This is JSON, but not an object\.$/],
      ["null", /^This is JSON, but not an object\.$/],
    ]) {
      await page.page.locator("#claims").fill(claims);
      await page.page.locator("#mint").click();
      assert.match(await page.text("#claims-error"), problem);
    }
    assert.equal(await page.page.locator("#log > li").count(), 0);
    // The next attempt is the first to be logged.
    assert.equal((await page.call("/me")).n, "1");
  });

  onPage("the page's policy forbids inline scripts", async (page) => {
    const ran = await page.page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return Boolean(window.ran);
    });
    assert.equal(ran, false);
    const { violations } = page.seen;
    await eventually(() => violations.length > 0, "a violation is reported");
    violations.length = 0;
  });
});

suite("the quickstart does not start on a port that is taken", () => {
  for (const [name, offset] of [["the API's", 0], ["the identity provider's", 1]]) {
    test(name, TEST, async () => {
      const first = await freePortPair();
      const port = first + offset;
      const server = await occupy(port);
      try {
        const { code, output } = await runToEnd(first);
        assert.ok(code > 0, `exit code ${code}: ${output}`);
        assert.match(output, new RegExp(`\\bport ${port} is taken\\b`));
        assert.match(output, /--port\b/);
      } finally {
        await server.release();
      }
    });
  }
});

/** Runs in the page. */
function openWebSocket([protocols, deadline]) {
  return new Promise((resolve, reject) => {
    setTimeout(reject, deadline, new Error("the WebSocket stays open"));
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws`, protocols);
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onclose = ({ code, reason, wasClean: clean }) =>
      resolve({ opened, protocol: socket.protocol, code, reason, clean });
  });
}

/** Runs a line in a shell until its output contains a text, or it ends. */
function shell(line, text) {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", `exec ${line}`], { stdio: ["ignore", "pipe", "ignore"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), WAIT_MS);
    let output = "";
    child.stdout.setEncoding("latin1").on("data", (data) => {
      output += data;
      if (output.includes(text)) child.kill();
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ output, code });
    });
  });
}

async function eventually(condition, what) {
  const deadline = Date.now() + WAIT_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `expected within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
