// A client in a page, without a library. Its key never leaves the browser.

const text = new TextEncoder();
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const part = (value) => base64url(text.encode(JSON.stringify(value)));

let keys, jwk, nonce;

/** Generates a key whose private half no script can read. Returns its thumbprint (RFC 7638). */
async function createKey() {
  keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
  jwk = { kty, crv, x, y };
  const members = text.encode(JSON.stringify({ crv, kty, x, y }));
  return base64url(await crypto.subtle.digest("SHA-256", members));
}

const exportKey = () => crypto.subtle.exportKey("jwk", keys.privateKey).then(() => "exported", (error) => error.name);

/** Returns a proof for a request (RFC 9449 §4.2), with the last nonce of the API. */
async function proofFor(method, url, token) {
  const header = { typ: "dpop+jwt", alg: "ES256", jwk };
  const claims = { htm: method, htu: url.split(/[?#]/)[0], iat: Math.floor(Date.now() / 1000), jti: crypto.randomUUID() };
  if (nonce) claims.nonce = nonce;
  if (token) claims.ath = base64url(await crypto.subtle.digest("SHA-256", text.encode(token)));
  const signed = `${part(header)}.${part(claims)}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, text.encode(signed));
  return `${signed}.${base64url(signature)}`;
}

/** Requests tokens with a proof. */
async function getTokens(endpoint, form) {
  const headers = { DPoP: await proofFor("POST", endpoint) };
  const answer = await fetch(endpoint, { method: "POST", headers, body: new URLSearchParams(form) });
  return answer.json();
}

/** Calls the API until it does not ask for a nonce. Returns what the script can read of each answer. */
async function call(url, token, scheme = "DPoP") {
  const seen = [];
  for (let attempts = 0; attempts < 2; attempts += 1) {
    const headers = { Authorization: `${scheme} ${token}`, DPoP: await proofFor("GET", url, token) };
    const answer = await fetch(url, { headers });
    const challenge = answer.headers.get("www-authenticate");
    nonce = answer.headers.get("dpop-nonce") ?? nonce;
    seen.push({ status: answer.status, challenge, nonce: answer.headers.get("dpop-nonce"), body: await answer.json() });
    if (!challenge?.includes("use_dpop_nonce")) break;
  }
  return seen;
}

/** Opens a WebSocket. Returns { protocol, messages, code, reason } once it is closed, or the name of the error. */
function open(url, protocols) {
  return new Promise((resolve) => {
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (error) {
      resolve(error.name);
      return;
    }
    const messages = [];
    socket.onmessage = ({ data }) => messages.push(data);
    socket.onclose = ({ code, reason }) => resolve({ protocol: socket.protocol, messages, code, reason });
  });
}

/** Opens a WebSocket with the token and a proof as subprotocols. */
async function openWithProof(url, token, proof) {
  return open(url, ["dpop", token, proof ?? (await proofFor("GET", url, token)), "chat"]);
}

window.client = { createKey, exportKey, proofFor, getTokens, call, open, openWithProof };
document.body.dataset.ready = "";
