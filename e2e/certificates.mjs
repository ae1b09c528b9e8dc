// Client certificates (RFC 8705), and a TLS terminator that hands them on.

import { execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";

import { WAIT_MS } from "./limits.mjs";

/** Generates a self-signed certificate. Returns its { key, cert } as PEM, and { base64, thumbprint } of its DER. */
export function generateCertificate(name) {
  const directory = mkdtempSync(path.join(tmpdir(), "oauth2-actix-certificate-"));
  try {
    const [key, cert] = ["key.pem", "cert.pem"].map((file) => path.join(directory, file));
    const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    words.push("-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert);
    execFileSync("openssl", words, { stdio: "ignore" });
    const pair = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
    const der = new X509Certificate(pair.cert).raw;
    const thumbprint = createHash("sha256").update(der).digest("base64url");
    return { ...pair, base64: der.toString("base64"), thumbprint };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * Starts a TLS terminator in front of a server. It sets the header `name` to the certificate of the client, by `format`
 * of its base64, whatever the client has sent in it.
 */
export async function terminate(target, { certificate, name, format = (base64) => base64 }) {
  const { key, cert } = certificate;
  // The thumbprint in the token decides which certificate is accepted, so that any may be shown here.
  const server = https.createServer({ key, cert, requestCert: true, rejectUnauthorized: false });
  server.on("request", (incoming, outgoing) => {
    const headers = { ...incoming.headers };
    delete headers[name];
    const { raw } = incoming.socket.getPeerCertificate();
    if (raw) headers[name] = format(raw.toString("base64"));
    const forwarded = http.request(new URL(incoming.url, target), { method: incoming.method, headers, agent: false });
    forwarded.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${server.address().port}`,
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Sends a request to a TLS terminator, with a client certificate or none. Returns { status, headers, text }. */
export async function requestOverTls(url, { server, client, method = "GET", headers = {}, body }) {
  const signal = AbortSignal.timeout(WAIT_MS);
  const outgoing = https.request(url, {
    method,
    headers,
    ca: server.cert,
    ...(client && { key: client.key, cert: client.cert }),
    agent: false,
    signal,
  });
  outgoing.end(body);
  const [incoming] = await once(outgoing, "response", { signal });
  incoming.setEncoding("utf8");
  let text = "";
  for await (const chunk of incoming) text += chunk;
  return { status: incoming.statusCode, headers: incoming.headers, text };
}
