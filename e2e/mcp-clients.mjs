// The MCP clients of the suite. Each one logs in by itself; the suite is only its user. A session calls tools, and
// returns the structured content of their results.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as v2 from "@modelcontextprotocol/client";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { WAIT_MS } from "./limits.mjs";
import { end, launch } from "./mcp-server.mjs";
import { logIn } from "./mcp-user.mjs";
import { program, targetDirectory } from "./programs.mjs";

/** Nothing listens here: the suite reads the code off the redirect. */
const REDIRECT_URI = "http://127.0.0.1:1/callback";
const INFO = { name: "e2e", version: "1.0.0" };
const here = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Whether the client itself logs in again when a call needs a further scope, though it has a refresh token. */
export const CLIENTS = [
  { name: "TypeScript v1", connect: connectV1, stepsUp: false },
  { name: "TypeScript v2, sessions", connect: (url) => connectV2(url, "legacy"), stepsUp: true },
  { name: "TypeScript v2, 2026-07-28", connect: (url) => connectV2(url, { pin: "2026-07-28" }), stepsUp: true },
  { name: "Python, sessions", connect: (url) => connectPython(url, "legacy"), stepsUp: true },
  { name: "Python, 2026-07-28", connect: (url) => connectPython(url, "auto"), stepsUp: true },
  { name: "rmcp, sessions", connect: (url) => connectRmcp(url, "initialize"), stepsUp: true },
  { name: "rmcp, 2026-07-28", connect: (url) => connectRmcp(url, "discover"), stepsUp: true },
  { name: "mcp-remote, sessions", connect: (url) => connectRemote(url, "legacy"), stepsUp: true },
  { name: "mcp-remote, 2026-07-28", connect: (url) => connectRemote(url, "auto"), stepsUp: true },
];

function structured(result) {
  if (result.isError) throw new Error(JSON.stringify(result.content));
  return result.structuredContent;
}

// The TypeScript clients

/** The store of a TypeScript client. `authorizationUrl` is where it sent the user last. */
class Store {
  redirectUrl = REDIRECT_URI;
  clientMetadata = {
    client_name: "typescript",
    redirect_uris: [REDIRECT_URI],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    application_type: "native",
  };
  #client;
  #tokens;
  #verifier;
  #discovered;
  clientInformation = () => this.#client;
  saveClientInformation = (client) => void (this.#client = client);
  tokens = () => this.#tokens;
  saveTokens = (tokens) => void (this.#tokens = tokens);
  codeVerifier = () => this.#verifier;
  saveCodeVerifier = (verifier) => void (this.#verifier = verifier);
  discoveryState = () => this.#discovered;
  saveDiscoveryState = (discovered) => void (this.#discovered = discovered);
  redirectToAuthorization = (url) => void (this.authorizationUrl = url.href);
  /** Makes the client log in again instead of renewing its token. */
  forgetRefreshToken = () => void delete this.#tokens?.refresh_token;
}

async function connectTypeScript(url, Transport, createClient, finishWith) {
  const store = new Store();
  const connected = async () => {
    const transport = new Transport(new URL(url), { authProvider: store });
    const client = createClient();
    return { transport, client, error: await client.connect(transport).then(() => undefined, (error) => error) };
  };
  /** Logs the user in, as the client asked for. */
  const finish = async (transport, error) => {
    if (error.constructor.name !== "UnauthorizedError") throw error;
    const callback = new URL(await logIn(store.authorizationUrl));
    await transport.finishAuth(finishWith(callback.searchParams));
  };
  const first = await connected();
  await finish(first.transport, first.error ?? new Error("accepted without a token"));
  await first.client.close();
  const { transport, client, error } = await connected();
  if (error) throw error;
  return {
    version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
    async call(name, options = {}) {
      const call = () => client.callTool({ name, arguments: options }).then(structured);
      try {
        return await call();
      } catch (error) {
        await finish(transport, error);
        return call();
      }
    },
    forgetRefreshToken: store.forgetRefreshToken,
    close: () => client.close(),
  };
}

function connectV1(url) {
  return connectTypeScript(url, TransportV1, () => new ClientV1(INFO), (query) => query.get("code"));
}

function connectV2(url, mode) {
  const createClient = () => new v2.Client(INFO, { versionNegotiation: { mode } });
  return connectTypeScript(url, v2.StreamableHTTPClientTransport, createClient, (query) => query);
}

// The clients that are programs of their own, and speak in lines

function connectPython(url, mode) {
  const environment = path.join(targetDirectory(), "mcp-python");
  const python = path.join(environment, "bin", "python");
  const requirements = here("mcp-requirements.txt");
  // A copy of the versions that are installed, written last.
  const installed = path.join(environment, "installed.txt");
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(requirements, "utf8")) {
    const run = (command, ...options) => execFileSync(command, options, { stdio: ["ignore", "ignore", "inherit"] });
    run("python3", "-m", "venv", "--clear", environment);
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements);
    copyFileSync(requirements, installed);
  }
  return connectLines(launch(python, [here("mcp-client.py"), url, REDIRECT_URI, mode]));
}

function connectRmcp(url, lifecycle) {
  return connectLines(launch(program("examples/client", "MCP_CLIENT"), [url, REDIRECT_URI, lifecycle]));
}

async function connectLines(client) {
  const lines = [];
  let rest = "";
  let wake = () => {};
  client.child.stdout.on("data", (text) => {
    const complete = (rest + text).split("\n");
    rest = complete.pop();
    lines.push(...complete.map((line) => JSON.parse(line)));
    wake();
  });
  client.ended.finally(() => wake()).catch(() => {});
  const write = (line) => client.child.stdin.write(`${line}\n`);
  const next = async () => {
    const deadline = Date.now() + WAIT_MS;
    while (lines.length === 0) {
      if (client.child.exitCode !== null) throw new Error(`the client ended: ${client.output()}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`the client does not answer: ${client.output()}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        wake = () => (clearTimeout(timer), resolve());
      });
    }
    return lines.shift();
  };
  /** Returns the next line that is no part of a login, and logs the user in. */
  const answer = async () => {
    for (;;) {
      const line = await next();
      if (line.authorize) write(await logIn(line.authorize));
      else if (!line.challenge) return line;
    }
  };
  try {
    const { connected } = await answer();
    return {
      version: connected,
      async call(name, options = {}) {
        write(JSON.stringify({ name, arguments: options }));
        const { result, error } = await answer();
        if (error) throw new Error(error);
        return structured(result);
      },
      close: () => end(client),
    };
  } catch (error) {
    await end(client);
    throw error;
  }
}

// The bridge to stdio, which opens a browser

async function connectRemote(url, protocol) {
  const directory = mkdtempSync(path.join(tmpdir(), "oauth2-actix-mcp-remote-"));
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [here("node_modules/mcp-remote/dist/proxy.js"), url, "--protocol", protocol, "--transport", "http-only"],
    env: { ...process.env, BROWSER: here("mcp-user.mjs"), MCP_REMOTE_CONFIG_DIR: directory, DISPLAY: "" },
    stderr: "pipe",
  });
  let log = "";
  transport.stderr.on("data", (text) => (log += text));
  const client = new ClientV1(INFO);
  const close = async () => {
    await client.close();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await client.connect(transport, { timeout: WAIT_MS });
  } catch (error) {
    await close();
    throw new Error(`${error.message}: ${log}`);
  }
  return {
    call: async (name, options = {}) => {
      try {
        return structured(await client.callTool({ name, arguments: options }, undefined, { timeout: WAIT_MS }));
      } catch (error) {
        throw new Error(`${error.message}: ${log}`);
      }
    },
    close,
  };
}
