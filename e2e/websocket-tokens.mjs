// Tokens of the quickstart's issuer, valid and invalid ones.

import { request } from "./oidc-requests.mjs";

/** Mints a token. By default it is valid, of alice, and permits the lobby. */
export async function mint(issuer, { sub = "alice", scope = "chat:lobby", lifetime = 300, ...claims } = {}) {
  const { access_token } = await post(`${issuer}/token`, {
    grant_type: "client_credentials",
    client_id: "quickstart",
    client_secret: "quickstart",
    claims: JSON.stringify({ sub, ...claims }),
    expires_in: String(lifetime),
    ...(scope && { scope }),
  });
  return access_token;
}

/** Rotates the key of the issuer. The API may not have the new key yet. */
export async function rotate(issuer) {
  await post(`${issuer}/rotate`);
}

/** Rotates the key of the issuer, and makes the API fetch it: tokens of the old key are rejected. */
export async function withdrawKey({ url, issuer }) {
  await rotate(issuer);
  const headers = { authorization: `Bearer ${await mint(issuer)}` };
  const answer = await request(`${url}/me`, { headers });
  if (answer.status !== 200) throw new Error(`a token of the new key: ${answer.status}`);
}

/** Returns the expiry of a token in milliseconds, as `Date.now()`. */
export function expiryOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp * 1000;
}

/** Changes a character in the middle of the signature. The last character has bits that do not count. */
export function withInvalidSignature(token) {
  const at = token.lastIndexOf(".") + 20;
  return token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
}

async function post(url, form = {}) {
  const answer = await request(url, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(form).toString(),
  });
  if (answer.status !== 200) throw new Error(`${url} answers ${answer.status}: ${answer.text}`);
  return JSON.parse(answer.text);
}
