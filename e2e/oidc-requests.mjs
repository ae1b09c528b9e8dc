// HTTP and WebSocket clients for the OpenID provider suite. Each request has its own connection and a deadline.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import WebSocket from "ws";

import { WAIT_MS } from "./limits.mjs";

/** All `Authorization` values that were sent, for the search in the output of the API. */
export const sentCredentials = new Set();

/** Sends one HTTP request. Returns { status, headers, text }. Redirects are not followed. */
export async function request(url, { method = "GET", headers = {}, body } = {}) {
  note(headers.authorization);
  const signal = AbortSignal.timeout(WAIT_MS);
  const outgoing = http.request(url, { method, headers, agent: false, signal });
  outgoing.end(body);
  const [incoming] = await once(outgoing, "response", { signal });
  incoming.setEncoding("utf8");
  let text = "";
  for await (const chunk of incoming) text += chunk;
  return { status: incoming.statusCode, headers: incoming.headers, text };
}

/** Writes a GET request to a socket, with exactly these header lines. */
export function rawGet(url, headers) {
  return raw("GET", url, headers);
}

/** Writes a POST request to a socket, with exactly these header lines and this body. */
export function rawPost(url, headers, body) {
  return raw("POST", url, [...headers, ["Content-Length", Buffer.byteLength(body)]], body);
}

async function raw(method, url, headers, body = "") {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = net.connect({ host: hostname, port, signal: AbortSignal.timeout(WAIT_MS) });
  const lines = [`${method} ${pathname} HTTP/1.1`, `Host: ${host}`, "Connection: close"];
  for (const [name, value] of headers) {
    if (name.toLowerCase() === "authorization") note(value);
    lines.push(`${name}: ${value}`);
  }
  socket.setEncoding("utf8");
  socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  let answer = "";
  for await (const chunk of socket) answer += chunk;

  const [head, text] = answer.split("\r\n\r\n");
  const [statusLine, ...headerLines] = head.split("\r\n");
  return {
    status: Number(statusLine.split(" ")[1]),
    headers: Object.fromEntries(
      headerLines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    ),
    text,
  };
}

/**
 * Opens a WebSocket and waits until it is closed. Returns { status, messages, code, reason }.
 * Several values of `authorization` become several header lines. `more` are other headers.
 */
export async function webSocket(url, authorization, more = {}) {
  const headers = { ...more };
  if (authorization !== undefined) {
    [authorization].flat().forEach(note);
    headers.Authorization = authorization;
  }
  const socket = new WebSocket(url, { headers, handshakeTimeout: WAIT_MS });
  let status;
  const messages = [];
  socket.on("upgrade", (response) => (status = response.statusCode));
  socket.on("message", (data) => messages.push(data.toString()));
  try {
    // An error, such as a rejected handshake, rejects the promise.
    const [code, reason] = await once(socket, "close", {
      signal: AbortSignal.timeout(WAIT_MS),
    });
    return { status, messages, code, reason: reason.toString() };
  } finally {
    socket.on("error", () => {});
    socket.terminate();
  }
}

/** Repeats a request until `done` returns true for the answer. */
export async function poll(send, done) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const answer = await send();
    if (done(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`not done: ${JSON.stringify(answer)}`);
    await pause(50);
  }
}

function note(credentials) {
  if (credentials !== undefined) sentCredentials.add(credentials);
}
