// Three WebSocket clients that others have written, with one face: a browser, Node's `ws`, and Python's
// `websockets`. Each: `open(url, { protocols, headers })` gives a Connection, at once.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";

import { WAIT_MS } from "./limits.mjs";

/** Debian's, which has the package `python3-websockets`. */
const PYTHON = process.env.PYTHON ?? "/usr/bin/python3";

/** A WebSocket as its client tells of it. Everything that it tells is kept until it is asked for. */
export class Connection {
  #texts = [];
  #wake = () => {};

  constructor({ send, close }) {
    Object.assign(this, { send, close });
  }

  /** By the client: `opened` ({ protocol }), `text`, or `closed` ({ code, reason }, or a `status`). */
  tell({ opened, text, closed }) {
    if (opened) this.opened = opened;
    if (text !== undefined) this.#texts.push(text);
    if (closed) this.closed = closed;
    this.#wake();
  }

  /** The next text. It is an error if there is none to come. */
  async next(deadline = WAIT_MS) {
    await this.#until(() => this.#texts.length || this.closed, deadline, "a text");
    if (!this.#texts.length) throw new Error(`closed instead: ${JSON.stringify(this.closed)}`);
    return this.#texts.shift();
  }

  /** The next text, of JSON. */
  async hear(deadline) {
    return JSON.parse(await this.next(deadline));
  }

  /** How it ended: { opened, protocol, texts, code, reason }, with what was not asked for. */
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
    if (!condition()) throw new Error(`not within ${deadline} ms: ${what}`);
  }
}

/** Connections by their numbers, for clients in another process. */
class Numbered {
  #connections = new Map();

  /** `command` hands on what is wanted of a connection. */
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

  tell({ id, ...event }) {
    this.#connections.get(id).tell(event);
  }
}

/**
 * The `WebSocket` of a page's scripts. It can set no header. Chromium makes a page wait that opens many, or opens
 * them in vain: one page for each thing that is measured.
 */
export async function browserClient(page) {
  const numbered = new Numbered();
  await page.exposeFunction("tell", (event) => numbered.tell(event));
  await page.evaluate(() => {
    const sockets = new Map();
    window.command = ({ id, open, send, close }) => {
      if (send !== undefined) return sockets.get(id).send(send);
      if (close) return sockets.get(id).close(1000);
      const socket = new WebSocket(open.url, open.protocols);
      sockets.set(id, socket);
      const tell = (event) => window.tell({ id, ...event });
      socket.onopen = () => tell({ opened: { protocol: socket.protocol } });
      socket.onmessage = ({ data: text }) => tell({ text });
      socket.onclose = ({ code, reason }) => tell({ closed: { code, reason } });
    };
  });
  return {
    open(url, offer) {
      if (offer.headers?.length) throw new Error("a script cannot set headers");
      return numbered.open(url, offer, (what) => page.evaluate((what) => window.command(what), what));
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
      socket.on("open", () => connection.tell({ opened: { protocol: socket.protocol } }));
      socket.on("message", (data) => connection.tell({ text: data.toString() }));
      let status;
      socket.on("unexpected-response", (_, response) => {
        status = response.statusCode;
        socket.terminate();
      });
      socket.on("error", () => {});
      socket.on("close", (code, reason) =>
        connection.tell({ closed: { code, reason: reason.toString(), status } }),
      );
      return connection;
    },
    close() {
      for (const socket of sockets) socket.terminate();
    },
  };
}

/** Fails where there is no Python, or no package: to be skipped is to be forgotten. */
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
        else numbered.tell(event);
      }
    });
  });
  return {
    open: (url, offer) =>
      numbered.open(url, offer, (what) => child.stdin.write(`${JSON.stringify(what)}\n`)),
    close,
  };
}
