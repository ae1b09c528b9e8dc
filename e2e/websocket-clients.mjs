// Three independent WebSocket clients with one interface: a browser, Node's `ws`, and Python's `websockets`.
// `open(url, { protocols, headers })` of each returns a Connection at once.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";

import { WAIT_MS } from "./limits.mjs";

/** Debian's, which has the package `python3-websockets`. */
const PYTHON = process.env.PYTHON ?? "/usr/bin/python3";

/** A WebSocket. Events of its client are kept until they are read. */
export class Connection {
  #texts = [];
  #wake = () => {};

  constructor({ send, close }) {
    Object.assign(this, { send, close });
  }

  /** Takes an event of the client: `opened` ({ protocol }), `text`, or `closed` ({ code, reason }, or a `status`). */
  notify({ opened, text, closed }) {
    if (opened) this.opened = opened;
    if (text !== undefined) this.#texts.push(text);
    if (closed) this.closed = closed;
    this.#wake();
  }

  /** Returns the next text. Fails if the connection is closed first. */
  async next(deadline = WAIT_MS) {
    await this.#until(() => this.#texts.length || this.closed, deadline, "a text");
    if (!this.#texts.length) throw new Error(`closed instead: ${JSON.stringify(this.closed)}`);
    return this.#texts.shift();
  }

  /** Returns the next text, parsed as JSON. */
  async nextJson(deadline) {
    return JSON.parse(await this.next(deadline));
  }

  /** Waits for the end. Returns { opened, protocol, texts, code, reason }, with the texts that were not read. */
  async end(deadline = WAIT_MS) {
    await this.#until(() => this.closed, deadline, "the end");
    const { code, reason, status } = this.closed;
    const opened = Boolean(this.opened);
    return { status, end: { opened, protocol: this.opened?.protocol, texts: this.#texts, code, reason } };
  }

  async #until(condition, deadline, what) {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, deadline);
    while (!condition() && !late) await new Promise((resolve) => (this.#wake = resolve));
    clearTimeout(timer);
    if (!condition()) throw new Error(`expected within ${deadline} ms: ${what}`);
  }
}

/** Numbered connections, for clients in another process. */
class Numbered {
  #connections = new Map();

  /** Opens a connection. `command` sends a command to the client. */
  open(url, { protocols = [], headers = [] }, command) {
    const id = this.#connections.size + 1;
    const connection = new Connection({
      send: (text) => command({ id, send: text }),
      close: () => command({ id, close: true }),
    });
    this.#connections.set(id, connection);
    command({ id, open: { url, protocols, headers } });
    return connection;
  }

  notify({ id, ...event }) {
    this.#connections.get(id).notify(event);
  }
}

/**
 * Returns the client of a page: its `WebSocket` cannot set headers. Chromium delays a page that opens many WebSockets, or
 * that opens them without success, so that each test has a page of its own.
 */
export async function browserClient(page) {
  const numbered = new Numbered();
  await page.exposeFunction("notify", (event) => numbered.notify(event));
  await page.evaluate(() => {
    const sockets = new Map();
    window.command = ({ id, open, send, close }) => {
      if (send !== undefined) return sockets.get(id).send(send);
      if (close) return sockets.get(id).close(1000);
      const socket = new WebSocket(open.url, open.protocols);
      sockets.set(id, socket);
      const notify = (event) => window.notify({ id, ...event });
      socket.onopen = () => notify({ opened: { protocol: socket.protocol } });
      socket.onmessage = ({ data: text }) => notify({ text });
      socket.onclose = ({ code, reason }) => notify({ closed: { code, reason } });
    };
  });
  return {
    open(url, offer) {
      if (offer.headers?.length) throw new Error("a script cannot set headers");
      return numbered.open(url, offer, (command) => page.evaluate((command) => window.command(command), command));
    },
  };
}

export function nodeClient() {
  const sockets = new Set();
  return {
    open(url, { protocols = [], headers = [] }) {
      const byName = {};
      for (const [name, value] of headers) (byName[name] ??= []).push(value);
      const socket = new WebSocket(url, protocols, { headers: byName, handshakeTimeout: WAIT_MS });
      sockets.add(socket);
      const connection = new Connection({
        send: (text) => socket.send(text),
        close: () => socket.close(1000),
      });
      socket.on("open", () => connection.notify({ opened: { protocol: socket.protocol } }));
      socket.on("message", (data) => connection.notify({ text: data.toString() }));
      let status;
      socket.on("unexpected-response", (_, response) => {
        status = response.statusCode;
        socket.terminate();
      });
      socket.on("error", () => {});
      socket.on("close", (code, reason) =>
        connection.notify({ closed: { code, reason: reason.toString(), status } }),
      );
      return connection;
    },
    close() {
      for (const socket of sockets) socket.terminate();
    },
  };
}

/** Starts the Python client. Fails without Python or the package: a skipped test would stay unnoticed. */
export async function pythonClient() {
  const numbered = new Numbered();
  const script = fileURLToPath(new URL("websocket-client.py", import.meta.url));
  const child = spawn(PYTHON, [script], { stdio: ["pipe", "pipe", "inherit"] });
  const close = () => child.kill("SIGKILL");
  process.once("exit", close);
  child.stdin.on("error", () => {});
  child.stdout.setEncoding("utf8");
  await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${PYTHON}: ${why}; the package python3-websockets is needed`));
    child.once("error", fail);
    child.once("close", (code) => fail(`ended with ${code}`));
    let rest = "";
    child.stdout.on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const event of lines.map((line) => JSON.parse(line))) {
        if (event.ready) resolve();
        else numbered.notify(event);
      }
    });
  });
  return {
    open: (url, offer) =>
      numbered.open(url, offer, (command) => child.stdin.write(`${JSON.stringify(command)}\n`)),
    close,
  };
}
