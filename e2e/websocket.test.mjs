// The quickstart's WebSockets with three clients that others have written, and its chat and single-page
// client by their own controls: `node --test websocket.test.mjs`. Build first:
// `cargo build -p oauth2-actix-examples`. QUICKSTART names another binary, CHROMIUM another browser, and
// PYTHON another Python, which must have the package `websockets`.
//
// Time passes only where a test moves it: the quickstart runs with a test clock, and the clocks of the pages are
// Playwright's. Two tests use the system's clock, and allow for a slow machine.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { launchBrowser, openPage } from "./browser-page.mjs";
import { startQuickstart } from "./browser-quickstart.mjs";
import { CONCURRENCY, TEST, WAIT_MS } from "./limits.mjs";
import { browserClient, nodeClient, pythonClient } from "./websocket-clients.mjs";
import { App, Chat } from "./websocket-pages.mjs";
import { expiryOf, mint, rotate, withSpoiltSignature, withdrawKey } from "./websocket-tokens.mjs";

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

suite("three WebSocket clients", { concurrency: CONCURRENCY }, () => {
  /** For the tests that move no clock and withdraw no key. */
  let quickstart;
  let issuer;
  let browser;
  let node;
  let python;

  before(async () => {
    node = nodeClient();
    python = await pythonClient();
    quickstart = await startQuickstart({ testClock: true });
    browser = await launchBrowser();
    issuer = quickstart.issuer;
  }, TEST);

  after(async () => {
    node?.close();
    python?.close();
    await browser?.close();
    await quickstart?.stop();
  }, TEST);

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

  /** A quickstart for one test, which may move its clock. */
  async function startAlone(context) {
    const alone = await startQuickstart({ testClock: true });
    context.after(() => alone.stop());
    return alone;
  }

  /** The session is open one second before its end, which is so many seconds ahead, and is closed at its end. */
  async function assertEndsIn(seconds, connection, { advance }) {
    await advance(seconds - 1);
    for (let times = 0; times < 2; times += 1) {
      assert.equal(await speak(connection), "alice", "one second before exp");
    }
    await advance(1);
    const { end } = await connection.end();
    assert.deepEqual(end, { opened: true, protocol: "chat", texts: [], code: 1008, reason: "token expired" });
  }

  for (const [name, kind, offering] of WAYS) {
    test(`${name}: accepted`, TEST, async (context) => {
      const client = await start(kind, context);
      const token = await mint(issuer, { scope: "chat:staff read", lifetime: 60 });
      const { connection, seconds } = await enter(client, offering(token, "chat"), { room: "staff" });
      assert.equal(seconds, 60);
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

    test(`${name}: refused, and told why`, TEST, async (context) => {
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

    test(`${name}: a room that there is not`, TEST, async (context) => {
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

    test(`${name}: the session ends with its token`, TEST, async (context) => {
      const client = await start(kind, context);
      const at = await startAlone(context);
      const token = await mint(at.issuer, { lifetime: 30 });
      const { connection } = await enter(client, offering(token, "chat"), { at });
      await assertEndsIn(30, connection, at);
    });

    test(`${name}: renewed in place, which not every token can`, TEST, async (context) => {
      const client = await start(kind, context);
      const at = await startAlone(context);
      const { issuer } = at;
      const first = await mint(issuer, { lifetime: 30 });
      const { connection } = await enter(client, offering(first, "chat"), { at });
      for (const [token, why] of [
        [await mint(issuer, { sub: "mallory" }), "The token belongs to a different subject."],
        [await mint(issuer, { lifetime: -5 }), "The token has expired."],
        [await mint(issuer, { scope: "chat:staff" }), "The token does not permit this."],
        [withSpoiltSignature(await mint(issuer)), "The token's signature is not accepted."],
        ["not.a.token", "The token is not an acceptable JWT."],
      ]) {
        assert.deepEqual(await renew(connection, token), { not_renewed: why });
        assert.equal(await speak(connection), "alice", `after: ${why}`);
      }
      await at.advance(10);
      const second = await mint(issuer, { lifetime: 60 });
      assert.deepEqual(await renew(connection, second), { renewed: { seconds: 60 } });
      // The first token ends 20 seconds from here, the second one 60.
      await assertEndsIn(60, connection, at);
    });
  }

  test("the session ends with its token by the system's clock", TEST, async (context) => {
    const at = await startQuickstart();
    context.after(() => at.stop());
    // On a slow machine a token may expire before the session begins: then the next one lives longer.
    for (let lifetime = 2, welcome = false; !welcome; lifetime *= 2) {
      assert.ok(lifetime * 1000 < WAIT_MS, "no session begins");
      const token = await mint(at.issuer, { lifetime });
      const offer = byHeader(token, "chat");
      const { end } = await node.open(webSocket(at, "/chat/rooms/lobby"), offer).end();
      assert.ok(Date.now() >= expiryOf(token), "not before exp");
      assert.deepEqual([end.code, end.reason], [1008, "token expired"]);
      welcome = end.texts.length > 0;
    }
  });

  test("a withdrawn key ends every session of its tokens", TEST, async (context) => {
    const at = await startAlone(context);
    const sessions = await Promise.all(
      WAYS.map(async ([name, kind, offering]) => {
        const client = await start(kind, context);
        const { connection } = await enter(client, offering(await mint(at.issuer), "chat"), { at });
        return { name, connection };
      }),
    );
    // At once: no time passes before they end.
    await withdrawKey(at);
    for (const { name, connection } of sessions) {
      const { end } = await connection.end();
      const expected = { opened: true, protocol: "chat", texts: [], code: 1008, reason: "invalid token" };
      assert.deepEqual(end, expected, name);
    }
  });

  test("a browser sends no second token: it takes no protocol twice", TEST, async () => {
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

/**
 * Tests with a quickstart of their own: `open()` gives one more of its pages, and `pass(seconds)` moves the clock
 * of the quickstart and then those of the pages.
 */
function pageSuite(name, path, As, define) {
  suite(name, { concurrency: CONCURRENCY }, () => {
    let browser;

    before(async () => (browser = await launchBrowser()), TEST);
    after(() => browser?.close(), TEST);

    define((name, body, { systemClock = false } = {}) =>
      test(name, TEST, async () => {
        const quickstart = await startQuickstart({ testClock: !systemClock });
        const pages = [];
        const open = async () => {
          const page = await openPage(browser, quickstart.url + path, As, { manualClock: !systemClock });
          pages.push(page);
          return page;
        };
        const pass = async (seconds) => {
          await quickstart.advance(seconds);
          for (const page of pages) await page.advance(seconds);
        };
        try {
          await body({ open, pass, quickstart });
          for (const page of pages) await page.close();
        } finally {
          for (const page of pages) await page.context.close();
          await quickstart.stop();
        }
      }),
    );
  });
}

pageSuite("the chat", "/chat", Chat, (onPage) => {
  onPage("who is in a room hears what is said there, and nothing else", async ({ open }) => {
    const [alice, bob] = [await open(), await open()];
    await alice.join("lobby");
    await bob.set("name", "bob");
    await bob.permit("chat:staff");
    await bob.join("lobby");
    assert.equal((await bob.events()).at(-1), "welcome bob, for 20 s");
    await alice.say("<b>hello</b> ä");
    await bob.hears("alice", "<b>hello</b> ä");
    await bob.say("hello yourself");
    await alice.hears("bob", "hello yourself");

    await bob.join("staff");
    await alice.say("is bob still here?");
    await alice.hears("alice", "is bob still here\\?");
    await bob.say("nobody else");
    await bob.hears("bob", "nobody else");
    assert.deepEqual(await bob.lines(), ["bob nobody else"]);
    assert.deepEqual(await alice.lines(), ["alice <b>hello</b> ä", "bob hello yourself", "alice is bob still here?"]);
  });

  onPage("renewed in place, one connection outlives several tokens", async ({ open, pass }) => {
    const chat = await open();
    await chat.set("lifetime", 4);
    await chat.join("lobby");
    await chat.noted(/^welcome/);
    // Each renewal comes after half of a token's life: 14 seconds, more than three lives.
    for (let times = 1; times <= 7; times += 1) {
      await pass(1);
      await chat.say(`not renewed before its time ${times}`);
      await chat.hears("alice", `not renewed before its time ${times}`);
      assert.equal((await chat.events()).length, 4 + times - 1);
      await pass(1);
      await chat.noted(/^renewed/, { times });
    }
    await chat.say("still here");
    await chat.hears("alice", "still here");
    assert.equal(chat.sockets.length, 1);
    assert.deepEqual(await chat.events(), [
      "joining lobby",
      "connecting",
      "open: chat",
      "welcome alice, for 4 s",
      ...Array(7).fill("renewed, for 4 s"),
    ]);
  });

  onPage(
    "renewed in place by the system's clock",
    async ({ open }) => {
      const chat = await open();
      await chat.set("lifetime", 6);
      await chat.join("lobby");
      // After three seconds. A slow machine may be late, and connect again first.
      await chat.noted(/^renewed, for \d s$/);
    },
    { systemClock: true },
  );

  onPage("without renewal it closes with the token, and connects again by itself", async ({ open, pass }) => {
    const chat = await open();
    await chat.set("lifetime", 4);
    await chat.turn("renews", false);
    await chat.join("lobby");
    for (let times = 1; times <= 2; times += 1) {
      await chat.noted(/^welcome alice/, { times });
      await pass(3);
      await chat.say(`one second left ${times}`);
      await chat.hears("alice", `one second left ${times}`);
      assert.equal(chat.sockets.length, times);
      await pass(1);
    }
    await chat.noted(/^welcome alice/, { times: 3 });
    const once = ["connecting", "open: chat", "welcome alice, for 4 s"];
    const again = ["waiting: 1008 token expired", ...once];
    assert.deepEqual(await chat.events(), ["joining lobby", ...once, ...again, ...again]);
    assert.equal(chat.sockets.length, 3);
    await chat.say("back");
    await chat.hears("alice", "back");

    // Also of the connection that is open.
    await chat.turn("renews", true);
    for (let times = 1; times <= 4; times += 1) {
      await pass(2);
      await chat.noted(/^renewed, for 4 s$/, { times });
    }
    assert.equal(chat.sockets.length, 3);
  });

  onPage("what cannot be used can be read, in light and dark", async ({ open }) => {
    const chat = await open();
    for (const colorScheme of ["light", "dark"]) {
      await chat.page.emulateMedia({ colorScheme });
      const contrasts = await chat.contrasts(":is(button, input):disabled");
      assert.ok(contrasts.length >= 5, "the button to leave, and those to say something");
      for (const { element, opacity, ratio } of contrasts) {
        assert.equal(opacity, 1, element);
        assert.ok(ratio >= 4.5, `${colorScheme}: ${ratio}: ${element}`);
      }
    }
  });

  onPage("a room that the token does not permit stops it", async ({ open, pass }) => {
    const chat = await open();
    await chat.set("lifetime", 4);
    await chat.join("staff", "stopped");
    await chat.noted(/^stopped: 1008 insufficient scope$/);
    assert.equal(await chat.text("#why"), "1008 insufficient scope");
    assert.deepEqual(await chat.pressed(), ["staff"]);
    assert.ok(await chat.page.locator("#leave").isDisabled());
    assert.ok(await chat.page.locator("#text").isDisabled());

    await chat.join("lobby");
    await chat.noted(/^welcome/);
    // Time goes by, and the other room is not tried again.
    for (let times = 1; times <= 2; times += 1) {
      await pass(2);
      await chat.noted(/^renewed/, { times });
    }
    const rooms = chat.sockets.map((socket) => socket.url().split("/").at(-1));
    assert.deepEqual(rooms, ["staff", "lobby"]);

    await chat.permit("chat:staff");
    await chat.join("staff");
  });

  onPage("a withdrawn key: a fresh token; a new key within the cooldown: it waits", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.join("lobby");
    await withdrawKey(quickstart);
    await chat.noted(/^waiting: 1008 invalid token$/);
    await chat.noted(/^welcome alice/, { times: 2 });
    assert.equal(chat.sockets.length, 2);

    // The API has just fetched keys: it does not fetch this one before the cooldown has passed.
    await rotate(quickstart.issuer);
    await chat.join("lobby", "waiting");
    await chat.noted(/^waiting: 1013 try again later; again in 1 s$/);
    await quickstart.advance(10);
    await chat.advance(1);
    await chat.noted(/^welcome alice/, { times: 3 });
    assert.equal(chat.sockets.length, 4);
  });

  onPage("a rejected token is replaced once, and no more than that", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.page.route(`${quickstart.issuer}/token`, async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      await route.fulfill({ response, json: { ...answer, access_token: withSpoiltSignature(answer.access_token) } });
    });
    await chat.join("lobby", "stopped");
    assert.equal(await chat.text("#why"), "1008 invalid token");
    assert.equal(chat.sockets.length, 2);
    assert.equal((await chat.events()).filter((event) => event === "waiting: 1008 invalid token").length, 1);
  });

  onPage("leaving, and coming back", async ({ open }) => {
    const chat = await open();
    await chat.join("lobby");
    const [socket] = chat.sockets;
    await chat.click("leave");
    assert.equal(await chat.standing("stopped"), "");
    assert.ok(socket.isClosed());
    assert.ok(await chat.page.locator("#text").isDisabled());
    assert.equal((await chat.events()).at(-1), "stopped");
    assert.deepEqual(await chat.pressed(), []);
    await chat.join("lobby");
    assert.equal(chat.sockets.length, 2);
  });

  onPage("a server that dies and comes back, with other keys", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.set("lifetime", 300);
    await chat.join("lobby");
    await quickstart.stop();
    assert.equal(await chat.standing("waiting"), "1006; again in 1 s");
    await chat.advance(1);
    await chat.noted(/^waiting: 1006; again in 2 s$/);
    await quickstart.restart();
    await chat.advance(2);
    await chat.standing("open");
    const events = await chat.events();
    // The token at hand is good for minutes, had the issuer not lost its key.
    assert.ok(events.includes("waiting: 1008 invalid token"), events.join("\n"));
    await chat.say("we are back");
    await chat.hears("alice", "we are back");
  });

  onPage("leaving while it waits for a server", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.join("lobby");
    await quickstart.stop();
    for (const seconds of [1, 2]) {
      await chat.noted(new RegExp(`^waiting: .*; again in ${seconds} s$`));
      await chat.advance(seconds);
    }
    await chat.noted(/^waiting: .*; again in 4 s$/);
    // At once: none of the four seconds passes.
    await chat.click("leave");
    await chat.standing("stopped");
  });
});

pageSuite("the single-page client", "/app", App, (onPage) => {
  for (const cross of [false, true]) {
    const where = cross ? "cross-origin: " : "";
    const openApp = async (open) => {
      const app = await open();
      await app.turn("cross-origin", cross);
      return app;
    };

    onPage(`${where}one token for many calls`, async ({ open }) => {
      const app = await openApp(open);
      await app.call("ten", { accepted: 10 });
      assert.deepEqual([app.tokenRequests(), await app.count("fetches")], [1, 1]);
      await app.call("/me", { accepted: 11 });
      assert.deepEqual([app.tokenRequests(), await app.count("retried")], [1, 0]);
      assert.deepEqual(await app.events(), Array(11).fill("GET /me: 200"));
      assert.equal(await app.text("#left"), "in 16 s");
    });

    onPage(`${where}what is not permitted is not tried again`, async ({ open }) => {
      const app = await openApp(open);
      await app.call("/admin", { accepted: 0, refused: 1 });
      assert.deepEqual(await app.events(), ["GET /admin: 403 The token does not permit this."]);
      assert.deepEqual([app.tokenRequests(), await app.count("retried")], [1, 0]);
      await app.page.locator("#role").selectOption("admin");
      await app.call("/admin", { accepted: 1, refused: 1 });
      assert.equal(app.tokenRequests(), 2, "an admin's token is another");
    });

    onPage(`${where}an expired token is replaced, once for all calls`, async ({ open }) => {
      const app = await openApp(open);
      for (const [path, accepted, retried, requests] of [["/me", 1, 1, 2], ["ten", 11, 11, 4]]) {
        await app.click("spoil");
        await app.noted(/^an expired token is held/, { times: requests / 2 });
        await app.call(path, { accepted });
        // The held one was fetched too.
        assert.deepEqual([await app.count("retried"), app.tokenRequests()], [retried, requests]);
      }
      const events = await app.events();
      assert.deepEqual(events.slice(1, 3), ["GET /me: The token has expired. Trying again.", "GET /me: 200"]);
    });

    onPage(`${where}a withdrawn key's token is replaced`, async ({ open }) => {
      const app = await openApp(open);
      await app.call("/me", { accepted: 1 });
      await app.click("rotate");
      await app.noted(/^the issuer has withdrawn its key, and the API knows$/);
      await app.call("/me", { accepted: 2 });
      assert.deepEqual((await app.events()).slice(-2), [
        "GET /me: The token's signature is not accepted. Trying again.",
        "GET /me: 200",
      ]);
      assert.deepEqual([await app.count("retried"), await app.count("fetches")], [1, 2]);
    });
  }

  onPage("one call after the other, none is refused over several lifetimes", async ({ open, pass }) => {
    const app = await open();
    await app.set("lifetime", 5);
    await app.turn("steady", true);
    // One call every two seconds.
    for (let calls = 1; calls <= 7; calls += 1) {
      await pass(2);
      await app.counted("accepted", calls);
    }
    assert.deepEqual([await app.count("refused"), await app.count("retried")], [0, 0]);
    // A token is replaced after four of its five seconds: every other call needs another one.
    assert.equal(await app.count("fetches"), 4);
    await app.turn("steady", false);
  });
});
