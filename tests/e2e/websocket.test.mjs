// The quickstart's WebSockets with three clients that others have written, and its chat and single-page
// client by their own controls: `node --test websocket.test.mjs`. Build first:
// `cargo build -p oauth2-actix-examples`. QUICKSTART names another binary, CHROMIUM another browser, and
// PYTHON another Python, which must have the package `websockets`.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { launchBrowser, openPage } from "./browser-page.mjs";
import { startQuickstart } from "./browser-quickstart.mjs";
import { browserClient, nodeClient, pythonClient } from "./websocket-clients.mjs";
import { expiryOf, mint, withSpoiltSignature, withdrawKey } from "./websocket-tokens.mjs";

// For a whole test; each wait in it has its own, shorter one.
const TIMEOUT = { timeout: 30_000 };
/** After `exp`, for a busy machine. */
const LATE_MS = 1500;

const authorization = (token) => ["Authorization", `Bearer ${token}`];
const bySubprotocol = (token, ...protocols) => ({ protocols: ["bearer", token, ...protocols] });
const byHeader = (token, ...protocols) => ({ protocols, headers: [authorization(token)] });

/** Who connects, and where the token stands. */
const WAYS = [
  ["a browser, by subprotocol", "browser", bySubprotocol],
  ["a browser of another origin, by subprotocol", "otherOrigin", bySubprotocol],
  ["Node's ws, by subprotocol", "node", bySubprotocol],
  ["Node's ws, by header", "node", byHeader],
  ["Python's websockets, by subprotocol", "python", bySubprotocol],
  ["Python's websockets, by header", "python", byHeader],
];
const isBrowser = (client) => ["browser", "otherOrigin"].includes(client);

suite("three WebSocket clients", { timeout: 110_000, concurrency: 6 }, () => {
  let quickstart;
  let issuer;
  let browser;
  let node;
  let python;

  before(async () => {
    node = nodeClient();
    python = await pythonClient();
    quickstart = await startQuickstart();
    browser = await launchBrowser();
    issuer = quickstart.issuer;
  }, TIMEOUT);

  after(async () => {
    node?.close();
    python?.close();
    await browser?.close();
    await quickstart?.stop();
  }, TIMEOUT);

  /** For one test: a browser's has a page of its own. */
  async function start(client, context) {
    if (!isBrowser(client)) return client === "node" ? node : python;
    const host = client === "browser" ? "127.0.0.1" : "localhost";
    const page = await openPage(browser, `${quickstart.url.replace("127.0.0.1", host)}/`);
    context.after(() => page.close());
    return browserClient(page.page);
  }

  const webSocket = ({ url }, path) => `${url.replace("http:", "ws:")}${path}`;

  /** Opens a room, and says whom it welcomes. */
  async function enter(client, offer, { at = quickstart, room = "lobby", name = "alice" } = {}) {
    const connection = client.open(webSocket(at, `/chat/rooms/${room}`), offer);
    const { welcome } = await connection.hear();
    assert.equal(welcome.name, name);
    assert.deepEqual(connection.opened, { protocol: "chat" });
    return { connection, seconds: welcome.seconds };
  }

  /** Says something nobody else says, and hears it. */
  async function speak(connection) {
    const text = `${Math.random()}`;
    connection.send(JSON.stringify({ say: text }));
    for (;;) {
      // Others are in the lobby too.
      const { said } = await connection.hear();
      assert.ok(said, "nothing but what is said");
      if (said.text === text) return said.name;
    }
  }

  /** What is answered, whatever others say meanwhile. */
  async function renew(connection, token) {
    connection.send(JSON.stringify({ renew: token }));
    for (;;) {
      const answer = await connection.hear();
      if (!answer.said) return answer;
    }
  }

  function assertEndedInTime({ end, at }, token, reason = "token expired") {
    assert.deepEqual({ ...end, texts: [] }, { opened: true, protocol: "chat", texts: [], code: 1008, reason });
    const late = at - expiryOf(token);
    assert.ok(0 <= late && late <= LATE_MS, `${late} ms after its exp`);
  }

  for (const [name, kind, offering] of WAYS) {
    test(`${name}: accepted`, TIMEOUT, async (context) => {
      const client = await start(kind, context);
      const token = await mint(issuer, { scope: "chat:staff read", lifetime: 60 });
      const { connection, seconds } = await enter(client, offering(token, "chat"), { room: "staff" });
      assert.ok(55 <= seconds && seconds <= 60, `${seconds} s`);
      assert.equal(await speak(connection), "alice");
      connection.close();
      assert.equal((await connection.end()).end.code, 1000);

      const echo = client.open(webSocket(quickstart, "/ws"), offering(token));
      assert.equal(await echo.next(), "hello alice");
      // Never the token; a client that offered nothing is told of nothing.
      assert.deepEqual(echo.opened, { protocol: offering === bySubprotocol ? "bearer" : "" });
      echo.send("ä €");
      assert.equal(await echo.next(), "ä €");
      echo.close();
      assert.equal((await echo.end()).end.code, 1000);
    });

    test(`${name}: refused, and told why`, TIMEOUT, async (context) => {
      const client = await start(kind, context);
      const good = await mint(issuer);
      const cases = [
        ["no token", { protocols: ["chat"] }, "token missing"],
        ["garbage", offering("not.a.token", "chat"), "invalid token"],
        ["a wrong signature", offering(withSpoiltSignature(good), "chat"), "invalid token"],
        ["another audience", offering(await mint(issuer, { aud: "another-api" }), "chat"), "invalid token"],
        ["another issuer", offering(await mint(issuer, { iss: "https://other.example" }), "chat"), "invalid token"],
        ["an expired one", offering(await mint(issuer, { lifetime: -5 }), "chat"), "token expired"],
        ["another room's scope", offering(await mint(issuer, { scope: "chat:staff" }), "chat"), "insufficient scope"],
        ["no scope", offering(await mint(issuer, { scope: "" }), "chat"), "insufficient scope"],
        ["a marker without a token", { protocols: ["chat", "bearer"] }, "invalid request"],
      ];
      if (!isBrowser(kind)) {
        cases.push(
          ["two tokens", { ...bySubprotocol(good, "chat"), headers: [authorization(good)] }, "invalid request"],
          ["two headers", { protocols: ["chat"], headers: [authorization(good), authorization(good)] }, "invalid request"],
        );
      }
      await Promise.all(
        cases.flatMap(([what, offer, reason]) =>
          ["/chat/rooms/lobby", "/ws"].map(async (path) => {
            // The echo asks for no scope.
            if (path === "/ws" && reason === "insufficient scope") return;
            const { end } = await client.open(webSocket(quickstart, path), offer).end();
            const expected = { opened: true, protocol: "chat", texts: [], code: 1008, reason };
            assert.deepEqual(end, expected, `${what}, ${path}`);
          }),
        ),
      );
    });

    test(`${name}: a room that there is not`, TIMEOUT, async (context) => {
      const client = await start(kind, context);
      const nowhere = webSocket(quickstart, "/chat/rooms/cellar");
      const { end, status } = await client.open(nowhere, offering(await mint(issuer), "chat")).end();
      assert.deepEqual(end, { opened: false, protocol: undefined, texts: [], code: 1006, reason: "" });
      // A script is not told.
      if (!isBrowser(kind)) assert.equal(status, 404);
      // Who has no token does not learn which rooms there are.
      const unknown = await client.open(nowhere, { protocols: ["chat"] }).end();
      assert.deepEqual([unknown.end.code, unknown.end.reason], [1008, "token missing"]);
    });

    test(`${name}: the session ends with its token`, TIMEOUT, async (context) => {
      const client = await start(kind, context);
      const token = await mint(issuer, { lifetime: 3 });
      const { connection } = await enter(client, offering(token, "chat"));
      assertEndedInTime(await connection.end(), token);
    });

    test(`${name}: renewed in place, which not every token can`, TIMEOUT, async (context) => {
      const client = await start(kind, context);
      const first = await mint(issuer, { lifetime: 3 });
      const { connection } = await enter(client, offering(first, "chat"));
      for (const [token, why] of [
        [await mint(issuer, { sub: "mallory" }), "The token is of somebody else."],
        [await mint(issuer, { lifetime: -5 }), "The token has expired."],
        [await mint(issuer, { scope: "chat:staff" }), "The token does not permit this."],
        [withSpoiltSignature(await mint(issuer)), "The token's signature is not accepted."],
        ["not.a.token", "The token is not an acceptable JWT."],
      ]) {
        assert.deepEqual(await renew(connection, token), { not_renewed: why });
        assert.equal(await speak(connection), "alice", `after: ${why}`);
      }
      const second = await mint(issuer, { lifetime: 6 });
      const { renewed } = await renew(connection, second);
      assert.ok(4 <= renewed.seconds && renewed.seconds <= 6, `${renewed.seconds} s`);
      assert.ok(expiryOf(second) - expiryOf(first) > LATE_MS, "the one ends well after the other");
      assertEndedInTime(await connection.end(), second);
    });
  }

  test("a withdrawn key ends every session of its tokens", TIMEOUT, async (context) => {
    const at = await startQuickstart();
    try {
      const sessions = await Promise.all(
        WAYS.map(async ([name, kind, offering]) => {
          const client = await start(kind, context);
          const { connection } = await enter(client, offering(await mint(at.issuer), "chat"), { at });
          return { name, connection };
        }),
      );
      const before = Date.now();
      await withdrawKey(at);
      for (const { name, connection } of sessions) {
        const { end, at } = await connection.end();
        const expected = { opened: true, protocol: "chat", texts: [], code: 1008, reason: "invalid token" };
        assert.deepEqual(end, expected, name);
        assert.ok(at - before < 3000, `${name}: at once`);
      }
    } finally {
      await at.stop();
    }
  });

  test("a browser sends no second token: it takes no protocol twice", TIMEOUT, async () => {
    const page = await openPage(browser, `${quickstart.url}/`);
    const thrown = await page.page.evaluate(() => {
      try {
        new WebSocket(`${location.origin.replace("http", "ws")}/ws`, ["bearer", "a", "bearer", "b"]);
      } catch (error) {
        return error.name;
      }
    });
    await page.close();
    assert.equal(thrown, "SyntaxError");
  });
});
