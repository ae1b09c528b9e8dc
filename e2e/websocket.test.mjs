// The quickstart's WebSockets with three independent clients, and its chat and single-page client by their
// own controls: `node --test websocket.test.mjs`. Build first:
// `cargo build -p oauth2-actix-examples`. QUICKSTART names another binary, CHROMIUM another browser, and
// PYTHON another Python, which must have the package `websockets`.
//
// Clocks advance only by a test: the quickstart runs with a test clock, and the clocks of the pages are Playwright's.
// Two tests use the system's clock, and allow for a slow machine.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { launchBrowser, openPage } from "./browser-page.mjs";
import { startQuickstart } from "./browser-quickstart.mjs";
import { CONCURRENCY, TEST, WAIT_MS } from "./limits.mjs";
import { browserClient, nodeClient, pythonClient } from "./websocket-clients.mjs";
import { App, Chat } from "./websocket-pages.mjs";
import { expiryOf, mint, rotate, withInvalidSignature, withdrawKey } from "./websocket-tokens.mjs";

const authorization = (token) => ["Authorization", `Bearer ${token}`];
const bySubprotocol = (token, ...protocols) => ({ protocols: ["bearer", token, ...protocols] });
const byHeader = (token, ...protocols) => ({ protocols, headers: [authorization(token)] });

/** The clients, and how they send the token. */
const CLIENTS = [
  ["a browser, by subprotocol", "browser", bySubprotocol],
  ["a browser of another origin, by subprotocol", "otherOrigin", bySubprotocol],
  ["Node's ws, by subprotocol", "node", bySubprotocol],
  ["Node's ws, by header", "node", byHeader],
  ["Python's websockets, by subprotocol", "python", bySubprotocol],
  ["Python's websockets, by header", "python", byHeader],
];
const isBrowser = (client) => ["browser", "otherOrigin"].includes(client);

suite("three WebSocket clients", { concurrency: CONCURRENCY }, () => {
  /** For the tests that do not advance the clock or withdraw a key. */
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

  /** Returns a client for one test. A browser gets a page for each test. */
  async function start(client, context) {
    if (!isBrowser(client)) return client === "node" ? node : python;
    const host = client === "browser" ? "127.0.0.1" : "localhost";
    const page = await openPage(browser, `${quickstart.url.replace("127.0.0.1", host)}/`);
    context.after(() => page.close());
    return browserClient(page.page);
  }

  const webSocket = ({ url }, path) => `${url.replace("http:", "ws:")}${path}`;

  /** Opens a room, and checks the welcome. */
  async function enter(client, offer, { at = quickstart, room = "lobby", name = "alice" } = {}) {
    const connection = client.open(webSocket(at, `/chat/rooms/${room}`), offer);
    const { welcome } = await connection.nextJson();
    assert.equal(welcome.name, name);
    assert.deepEqual(connection.opened, { protocol: "chat" });
    return { connection, seconds: welcome.seconds };
  }

  /** Sends a unique message, waits until it is received, and returns the name of its sender. */
  async function speak(connection) {
    const text = `${Math.random()}`;
    connection.send(JSON.stringify({ say: text }));
    for (;;) {
      // Other tests send messages to the lobby too.
      const { said } = await connection.nextJson();
      assert.ok(said, "a message");
      if (said.text === text) return said.name;
    }
  }

  /** Sends a token, and returns the answer. Skips messages of other sessions. */
  async function renew(connection, token) {
    connection.send(JSON.stringify({ renew: token }));
    for (;;) {
      const answer = await connection.nextJson();
      if (!answer.said) return answer;
    }
  }

  /** Starts a quickstart for one test, which may advance its clock. */
  async function startAlone(context) {
    const alone = await startQuickstart({ testClock: true });
    context.after(() => alone.stop());
    return alone;
  }

  /** Checks that the session ends in `seconds`: it is open one second before, and then closed. */
  async function assertEndsIn(seconds, connection, { advance }) {
    await advance(seconds - 1);
    for (let times = 0; times < 2; times += 1) {
      assert.equal(await speak(connection), "alice", "one second before exp");
    }
    await advance(1);
    const { end } = await connection.end();
    assert.deepEqual(end, { opened: true, protocol: "chat", texts: [], code: 1008, reason: "token expired" });
  }

  for (const [name, kind, offering] of CLIENTS) {
    test(`${name}: a valid token is accepted`, TEST, async (context) => {
      const client = await start(kind, context);
      const token = await mint(issuer, { scope: "chat:staff read", lifetime: 60 });
      const { connection, seconds } = await enter(client, offering(token, "chat"), { room: "staff" });
      assert.equal(seconds, 60);
      assert.equal(await speak(connection), "alice");
      connection.close();
      assert.equal((await connection.end()).end.code, 1000);

      const echo = client.open(webSocket(quickstart, "/ws"), offering(token));
      assert.equal(await echo.next(), "hello alice");
      // Never the token. Without an offered protocol there is none.
      assert.deepEqual(echo.opened, { protocol: offering === bySubprotocol ? "bearer" : "" });
      echo.send("ä €");
      assert.equal(await echo.next(), "ä €");
      echo.close();
      assert.equal((await echo.end()).end.code, 1000);
    });

    test(`${name}: an invalid token is rejected with a reason`, TEST, async (context) => {
      const client = await start(kind, context);
      const good = await mint(issuer);
      const cases = [
        ["no token", { protocols: ["chat"] }, "token missing"],
        ["garbage", offering("not.a.token", "chat"), "invalid token"],
        ["a wrong signature", offering(withInvalidSignature(good), "chat"), "invalid token"],
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
            // The echo requires no scope.
            if (path === "/ws" && reason === "insufficient scope") return;
            const { end } = await client.open(webSocket(quickstart, path), offer).end();
            const expected = { opened: true, protocol: "chat", texts: [], code: 1008, reason };
            assert.deepEqual(end, expected, `${what}, ${path}`);
          }),
        ),
      );
    });

    test(`${name}: an unknown room is not found`, TEST, async (context) => {
      const client = await start(kind, context);
      const nowhere = webSocket(quickstart, "/chat/rooms/cellar");
      const { end, status } = await client.open(nowhere, offering(await mint(issuer), "chat")).end();
      assert.deepEqual(end, { opened: false, protocol: undefined, texts: [], code: 1006, reason: "" });
      // A script cannot read the status.
      if (!isBrowser(kind)) assert.equal(status, 404);
      // A client without a token cannot find out which rooms exist.
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

    test(`${name}: a session is renewed by a valid token of its subject only`, TEST, async (context) => {
      const client = await start(kind, context);
      const at = await startAlone(context);
      const { issuer } = at;
      const first = await mint(issuer, { lifetime: 30 });
      const { connection } = await enter(client, offering(first, "chat"), { at });
      for (const [token, why] of [
        [await mint(issuer, { sub: "mallory" }), "The token belongs to a different subject."],
        [await mint(issuer, { lifetime: -5 }), "The token has expired."],
        [await mint(issuer, { scope: "chat:staff" }), "The token does not permit this."],
        [withInvalidSignature(await mint(issuer)), "The token's signature is not accepted."],
        ["not.a.token", "The token is not an acceptable JWT."],
      ]) {
        assert.deepEqual(await renew(connection, token), { not_renewed: why });
        assert.equal(await speak(connection), "alice", `after: ${why}`);
      }
      await at.advance(10);
      const second = await mint(issuer, { lifetime: 60 });
      assert.deepEqual(await renew(connection, second), { renewed: { seconds: 60 } });
      // The first token ends in 20 seconds, the second one in 60.
      await assertEndsIn(60, connection, at);
    });
  }

  test("the session ends with its token by the system's clock", TEST, async (context) => {
    const at = await startQuickstart();
    context.after(() => at.stop());
    // On a slow machine a token may expire before the session begins. Then the next token has a longer lifetime.
    for (let lifetime = 2, welcome = false; !welcome; lifetime *= 2) {
      assert.ok(lifetime * 1000 < WAIT_MS, "a session begins");
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
      CLIENTS.map(async ([name, kind, offering]) => {
        const client = await start(kind, context);
        const { connection } = await enter(client, offering(await mint(at.issuer), "chat"), { at });
        return { name, connection };
      }),
    );
    // The clock does not advance before they end.
    await withdrawKey(at);
    for (const { name, connection } of sessions) {
      const { end } = await connection.end();
      const expected = { opened: true, protocol: "chat", texts: [], code: 1008, reason: "invalid token" };
      assert.deepEqual(end, expected, name);
    }
  });

  test("a browser cannot send a second token, since it permits each protocol only once", TEST, async () => {
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
 * Defines tests with a quickstart of their own. `open()` opens one of its pages, and `pass(seconds)` advances the clock
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
  onPage("a member of a room receives its messages, and no others", async ({ open }) => {
    const [alice, bob] = [await open(), await open()];
    await alice.join("lobby");
    await bob.set("name", "bob");
    await bob.permit("chat:staff");
    await bob.join("lobby");
    assert.equal((await bob.events()).at(-1), "welcome bob, for 20 s");
    await alice.say("<b>hello</b> ä");
    await bob.receives("alice", "<b>hello</b> ä");
    await bob.say("hello yourself");
    await alice.receives("bob", "hello yourself");

    await bob.join("staff");
    await alice.say("is bob still here?");
    await alice.receives("alice", "is bob still here\\?");
    await bob.say("staff only");
    await bob.receives("bob", "staff only");
    assert.deepEqual(await bob.lines(), ["bob staff only"]);
    assert.deepEqual(await alice.lines(), ["alice <b>hello</b> ä", "bob hello yourself", "alice is bob still here?"]);
  });

  onPage("a connection that is renewed outlives several tokens", async ({ open, pass }) => {
    const chat = await open();
    await chat.set("lifetime", 4);
    await chat.join("lobby");
    await chat.noted(/^welcome/);
    // Renewed after half of each lifetime: 14 seconds, more than three lifetimes.
    for (let times = 1; times <= 7; times += 1) {
      await pass(1);
      await chat.say(`not renewed before its time ${times}`);
      await chat.receives("alice", `not renewed before its time ${times}`);
      assert.equal((await chat.events()).length, 4 + times - 1);
      await pass(1);
      await chat.noted(/^renewed/, { times });
    }
    await chat.say("still here");
    await chat.receives("alice", "still here");
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
    "a connection is renewed by the system's clock",
    async ({ open }) => {
      const chat = await open();
      await chat.set("lifetime", 6);
      await chat.join("lobby");
      // After three seconds. A slow machine may be late, and reconnect first.
      await chat.noted(/^renewed, for \d s$/);
    },
    { systemClock: true },
  );

  onPage("a connection that is not renewed closes with its token, and the chat reconnects", async ({ open, pass }) => {
    const chat = await open();
    await chat.set("lifetime", 4);
    await chat.turn("renews", false);
    await chat.join("lobby");
    for (let times = 1; times <= 2; times += 1) {
      await chat.noted(/^welcome alice/, { times });
      await pass(3);
      await chat.say(`one second left ${times}`);
      await chat.receives("alice", `one second left ${times}`);
      assert.equal(chat.sockets.length, times);
      await pass(1);
    }
    await chat.noted(/^welcome alice/, { times: 3 });
    const once = ["connecting", "open: chat", "welcome alice, for 4 s"];
    const again = ["waiting: 1008 token expired", ...once];
    assert.deepEqual(await chat.events(), ["joining lobby", ...once, ...again, ...again]);
    assert.equal(chat.sockets.length, 3);
    await chat.say("back");
    await chat.receives("alice", "back");

    // The open connection is renewed too.
    await chat.turn("renews", true);
    for (let times = 1; times <= 4; times += 1) {
      await pass(2);
      await chat.noted(/^renewed, for 4 s$/, { times });
    }
    assert.equal(chat.sockets.length, 3);
  });

  onPage("disabled controls are readable, in light and dark", async ({ open }) => {
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

  onPage("the chat stops at a room that the token does not permit", async ({ open, pass }) => {
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
    // Later, the other room is not tried again.
    for (let times = 1; times <= 2; times += 1) {
      await pass(2);
      await chat.noted(/^renewed/, { times });
    }
    const rooms = chat.sockets.map((socket) => socket.url().split("/").at(-1));
    assert.deepEqual(rooms, ["staff", "lobby"]);

    await chat.permit("chat:staff");
    await chat.join("staff");
  });

  onPage("the chat replaces a token of a withdrawn key, and waits for a new key within the cooldown", async ({ open, quickstart }) => {
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

  onPage("a rejected token is replaced only once", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.page.route(`${quickstart.issuer}/token`, async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      await route.fulfill({ response, json: { ...answer, access_token: withInvalidSignature(answer.access_token) } });
    });
    await chat.join("lobby", "stopped");
    assert.equal(await chat.text("#why"), "1008 invalid token");
    assert.equal(chat.sockets.length, 2);
    assert.equal((await chat.events()).filter((event) => event === "waiting: 1008 invalid token").length, 1);
  });

  onPage("a user who leaves can join again", async ({ open }) => {
    const chat = await open();
    await chat.join("lobby");
    const [socket] = chat.sockets;
    await chat.click("leave");
    assert.equal(await chat.waitForState("stopped"), "");
    assert.ok(socket.isClosed());
    assert.ok(await chat.page.locator("#text").isDisabled());
    assert.equal((await chat.events()).at(-1), "stopped");
    assert.deepEqual(await chat.pressed(), []);
    await chat.join("lobby");
    assert.equal(chat.sockets.length, 2);
  });

  onPage("the chat reconnects to a server that was restarted with other keys", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.set("lifetime", 300);
    await chat.join("lobby");
    await quickstart.stop();
    assert.equal(await chat.waitForState("waiting"), "1006; again in 1 s");
    await chat.advance(1);
    await chat.noted(/^waiting: 1006; again in 2 s$/);
    await quickstart.restart();
    await chat.advance(2);
    await chat.waitForState("open");
    const events = await chat.events();
    // The cached token has not expired, but the restarted issuer has another key.
    assert.ok(events.includes("waiting: 1008 invalid token"), events.join("\n"));
    await chat.say("we are back");
    await chat.receives("alice", "we are back");
  });

  onPage("a user can leave while the chat waits for a server", async ({ open, quickstart }) => {
    const chat = await open();
    await chat.join("lobby");
    await quickstart.stop();
    for (const seconds of [1, 2]) {
      await chat.noted(new RegExp(`^waiting: .*; again in ${seconds} s$`));
      await chat.advance(seconds);
    }
    await chat.noted(/^waiting: .*; again in 4 s$/);
    // The clock does not advance.
    await chat.click("leave");
    await chat.waitForState("stopped");
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

    onPage(`${where}many calls use one token`, async ({ open }) => {
      const app = await openApp(open);
      await app.call("ten", { accepted: 10 });
      assert.deepEqual([app.tokenRequests(), await app.count("fetches")], [1, 1]);
      await app.call("/me", { accepted: 11 });
      assert.deepEqual([app.tokenRequests(), await app.count("retried")], [1, 0]);
      assert.deepEqual(await app.events(), Array(11).fill("GET /me: 200"));
      assert.equal(await app.text("#left"), "in 16 s");
    });

    onPage(`${where}a call that is not permitted is not retried`, async ({ open }) => {
      const app = await openApp(open);
      await app.call("/admin", { accepted: 0, rejected: 1 });
      assert.deepEqual(await app.events(), ["GET /admin: 403 The token does not permit this."]);
      assert.deepEqual([app.tokenRequests(), await app.count("retried")], [1, 0]);
      await app.page.locator("#role").selectOption("admin");
      await app.call("/admin", { accepted: 1, rejected: 1 });
      assert.equal(app.tokenRequests(), 2, "an admin's token is another");
    });

    onPage(`${where}an expired token is replaced once for all calls`, async ({ open }) => {
      const app = await openApp(open);
      for (const [path, accepted, retried, requests] of [["/me", 1, 1, 2], ["ten", 11, 11, 4]]) {
        await app.click("spoil");
        await app.noted(/^an expired token is held/, { times: requests / 2 });
        await app.call(path, { accepted });
        // The expired token was fetched too.
        assert.deepEqual([await app.count("retried"), app.tokenRequests()], [retried, requests]);
      }
      const events = await app.events();
      assert.deepEqual(events.slice(1, 3), ["GET /me: The token has expired. Trying again.", "GET /me: 200"]);
    });

    onPage(`${where}a token of a withdrawn key is replaced`, async ({ open }) => {
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

  onPage("consecutive calls over several lifetimes are all accepted", async ({ open, pass }) => {
    const app = await open();
    await app.set("lifetime", 5);
    await app.turn("steady", true);
    // One call every two seconds.
    for (let calls = 1; calls <= 7; calls += 1) {
      await pass(2);
      await app.counted("accepted", calls);
    }
    assert.deepEqual([await app.count("refused"), await app.count("retried")], [0, 0]);
    // A token is replaced after four of its five seconds, so that every second call needs another one.
    assert.equal(await app.count("fetches"), 4);
    await app.turn("steady", false);
  });
});
