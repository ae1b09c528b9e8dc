// A reverse proxy on loopback before the MCP server: it records what clients send and get, and can add a token.

import { once } from "node:events";
import http from "node:http";

import { WAIT_MS } from "./limits.mjs";

export class Proxy {
  /** The origin of the server behind it, set before the first request. */
  target;
  /** The value of `Authorization` for requests that have none. */
  authorization;
  /** All requests with their responses, in order: { method, path, authorized, status, challenge, headers, body }. */
  exchanges = [];
  #server;

  async start() {
    // Not closed while a client is about to reuse a connection.
    const options = { keepAliveTimeout: WAIT_MS };
    this.#server = http.createServer(options, (request, response) => this.#forward(request, response));
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
  }

  async stop() {
    if (!this.#server?.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #forward(request, response) {
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks);
    const exchange = {
      method: request.method,
      path: request.url,
      authorized: request.headers.authorization !== undefined,
      headers: request.headers,
      body: body.toString(),
    };
    this.exchanges.push(exchange);
    const headers = { ...request.headers };
    if (this.authorization) headers.authorization ??= this.authorization;
    const forwarded = http.request(new URL(request.url, this.target), { method: request.method, headers });
    forwarded.on("response", (answer) => {
      exchange.status = answer.statusCode;
      exchange.challenge = answer.headers["www-authenticate"];
      response.writeHead(answer.statusCode, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    forwarded.on("error", () => response.destroy());
    response.on("close", () => forwarded.destroy());
    forwarded.end(body);
  }
}
