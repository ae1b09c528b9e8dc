// DPoP proofs, most of which are changed in one way. Each case is sent to two servers, so that it is a function of the
// URL of the server.

import { createHash, createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";

const base64url = (value) => Buffer.from(value).toString("base64url");
const part = (value) => base64url(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value));
const hash = (token) => createHash("sha256").update(token).digest("base64url");
const now = () => Math.floor(Date.now() / 1000);

/** A key pair with the algorithm that it signs with. */
export function keyOf(algorithm) {
  const [type, options] = {
    ES256: ["ec", { namedCurve: "P-256" }],
    ES384: ["ec", { namedCurve: "P-384" }],
    ES256K: ["ec", { namedCurve: "secp256k1" }],
    EdDSA: ["ed25519", {}],
    PS256: ["rsa", { modulusLength: 2048 }],
    RS256: ["rsa", { modulusLength: 2048 }],
    "RS256 with 1024 bits": ["rsa", { modulusLength: 1024 }],
  }[algorithm];
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  const jwk = publicKey.export({ format: "jwk" });
  return { alg: algorithm.split(" ")[0], jwk, privateKey, jkt: thumbprint(jwk) };
}

function thumbprint({ kty, crv, x, y, n, e }) {
  // Sorted, and JSON leaves out what is undefined (RFC 7638).
  return hash(JSON.stringify({ crv, e, kty, n, x, y }));
}

function signature({ alg, privateKey }, text) {
  const padding = alg.startsWith("PS") ? { padding: 6, saltLength: 32 } : {};
  const options = { key: privateKey, dsaEncoding: "ieee-p1363", ...padding };
  const digest = alg === "EdDSA" ? null : alg === "ES384" ? "sha384" : "sha256";
  return sign(digest, Buffer.from(text), options);
}

/** Returns an issuer: { jwks, bound(key), unbound } with tokens of one audience. */
export function issuerOf(issuer, audience) {
  const key = keyOf("ES256");
  const token = (claims) => {
    const header = { typ: "at+jwt", alg: key.alg, kid: "1" };
    const payload = { iss: issuer, aud: audience, sub: "ann", iat: now(), exp: now() + 3600, ...claims };
    const text = `${part(header)}.${part(payload)}`;
    return `${text}.${base64url(signature(key, text))}`;
  };
  return {
    jwks: { keys: [{ ...key.jwk, kid: "1", alg: key.alg, use: "sig" }] },
    bound: ({ jkt }) => token({ cnf: { jkt } }),
    unbound: token({}),
  };
}

/**
 * Returns the cases: { name, headers(url), send }. `bound(key)` is a token that is bound to a key, `unbound` one that
 * is not, and `key` the key of most cases. With `send: "twice"`, the result is that of the second request.
 */
export function mutations({ bound, unbound, key }) {
  const token = bound(key);
  const other = keyOf("ES256");
  const cases = [];

  /** A proof, with changes of its header and claims. A member that is undefined is left out. */
  const proof = (url, { header = {}, claims = {}, by = key, of = token } = {}) => {
    const members = { typ: "dpop+jwt", alg: by.alg, jwk: by.jwk, ...header };
    const payload = { htm: "GET", htu: `${url}/me`, iat: now(), jti: randomUUID(), ath: hash(of), ...claims };
    return signed(part(members), part(payload), by);
  };
  const signed = (header, payload, by = key) =>
    `${header}.${payload}.${base64url(signature(by, `${header}.${payload}`))}`;
  const add = (name, make, { scheme = "DPoP", of = token, send } = {}) =>
    cases.push({ name, send, headers: (url) => ({ authorization: `${scheme} ${of}`, dpop: make(url) }) });
  const header = (name, members, options) => add(name, (url) => proof(url, { header: members, ...options }));
  const claims = (name, members) =>
    add(name, (url) => proof(url, { claims: typeof members === "function" ? members(url) : members }));

  // Valid
  add("nothing is changed", proof);
  for (const algorithm of ["ES384", "EdDSA", "PS256", "RS256"]) {
    const by = keyOf(algorithm);
    const of = bound(by);
    add(`${algorithm} instead`, (url) => proof(url, { by, of }), { of });
  }
  header("the `jwk` has more members", { jwk: { ...key.jwk, kid: "1", use: "sig", ext: true, key_ops: ["verify"] } });
  claims("there are more claims", { sub: "x", iss: "y", aud: "z", nonce: "n" });

  // The header
  header("`typ` is missing", { typ: undefined });
  header("`typ` is JWT", { typ: "JWT" });
  header("`typ` is at+jwt", { typ: "at+jwt" });
  header("`typ` is DPoP+JWT", { typ: "DPoP+JWT" });
  header("`typ` is application/dpop+jwt", { typ: "application/dpop+jwt" });
  header("`alg` is missing", { alg: undefined });
  header("`alg` is none", { alg: "none" });
  header("`alg` is es256", { alg: "es256" });
  header("`alg` is of another curve", { alg: "ES384" });
  add("HMAC with the public key", (url) => {
    const members = part({ typ: "dpop+jwt", alg: "HS256", jwk: key.jwk });
    const payload = proof(url).split(".")[1];
    const mac = createHmac("sha256", JSON.stringify(key.jwk)).update(`${members}.${payload}`).digest("base64url");
    return `${members}.${payload}.${mac}`;
  });
  header("`crit` names an unknown extension", { crit: ["x"], x: 1 });
  header("`crit` is empty", { crit: [] });
  header("`b64` is true, with `crit`", { b64: true, crit: ["b64"] });
  header("`b64` is true, without `crit`", { b64: true });
  header("there is no `jwk`", { jwk: undefined });
  header("`jwk` is null", { jwk: null });
  header("`jwk` is a text", { jwk: JSON.stringify(key.jwk) });
  header("`jwk` has the private key", { jwk: key.privateKey.export({ format: "jwk" }) });
  header("`jwk` has an empty `d`", { jwk: { ...key.jwk, d: "" } });
  header("`jwk` has a `k`", { jwk: { ...key.jwk, k: "AAAA" } });
  header("`jwk` is for encryption", { jwk: { ...key.jwk, use: "enc" } });
  header("`jwk` has `key_ops` for encryption", { jwk: { ...key.jwk, key_ops: ["encrypt"] } });
  header("`jwk` has another `alg`", { jwk: { ...key.jwk, alg: "ES512" } });
  header("`jwk` is another key, but the token's key signs", { jwk: other.jwk });
  header("`jwk` is the token's key, but another key signs", { jwk: key.jwk }, { by: other });
  header("another key is in `jwk` and signs", {}, { by: other });
  header("`jwk` has padding", { jwk: { ...key.jwk, x: `${key.jwk.x}=` } });
  header("`jwk` is a point that is not on the curve", { jwk: { ...key.jwk, y: key.jwk.x } });
  const weak = keyOf("RS256 with 1024 bits");
  const ofWeak = bound(weak);
  add("the RSA key has 1024 bits", (url) => proof(url, { by: weak, of: ofWeak }), { of: ofWeak });

  // The claims
  claims("`htm` is missing", { htm: undefined });
  claims("`htm` is POST", { htm: "POST" });
  claims("`htm` is get", { htm: "get" });
  claims("`htm` is a list", { htm: ["GET"] });
  claims("`htu` is missing", { htu: undefined });
  claims("`htu` is a list", (url) => ({ htu: [`${url}/me`] }));
  claims("`htu` is another path", (url) => ({ htu: `${url}/orders` }));
  claims("`htu` ends with a slash", (url) => ({ htu: `${url}/me/` }));
  claims("`htu` has another case", (url) => ({ htu: `${url}/ME` }));
  claims("`htu` has a query and a fragment", (url) => ({ htu: `${url}/me?x=1#y` }));
  claims("`htu` has an upper-case scheme", (url) => ({ htu: `${url.replace("http", "HTTP")}/me` }));
  claims("`htu` has an escaped letter", (url) => ({ htu: `${url}/%6de` }));
  claims("`htu` has dot segments", (url) => ({ htu: `${url}/x/../me` }));
  claims("`htu` has two slashes", (url) => ({ htu: `${url}//me` }));
  claims("`htu` has a backslash", (url) => ({ htu: `${url}\\me` }));
  claims("`htu` has white space around it", (url) => ({ htu: ` ${url}/me ` }));
  claims("`htu` has a line break in it", (url) => ({ htu: `${url}/m\ne` }));
  claims("`htu` has a user", (url) => ({ htu: `${url.replace("//", "//user@")}/me` }));
  claims("`htu` is https", (url) => ({ htu: `${url.replace("http", "https")}/me` }));
  claims("`htu` is another port", (url) => ({ htu: `${url.replace(/\d+$/, "1")}/me` }));
  claims("`htu` is another name of the host", (url) => ({ htu: `${url.replace("127.0.0.1", "localhost")}/me` }));
  claims("`htu` is another form of the address", (url) => ({ htu: `${url.replace("127.0.0.1", "127.1")}/me` }));
  claims("`htu` is only a path", { htu: "/me" });
  claims("`iat` is missing", { iat: undefined });
  claims("`iat` is a text", { iat: String(now()) });
  claims("`iat` has a fraction", { iat: now() - 0.5 });
  claims("`iat` is 90 s ago", { iat: now() - 90 });
  claims("`iat` is in 60 s", { iat: now() + 60 });
  claims("`iat` is in milliseconds", { iat: Date.now() });
  claims("`exp` is over", { exp: now() - 100 });
  claims("`nbf` is in an hour", { nbf: now() + 3600 });
  claims("`jti` is missing", { jti: undefined });
  claims("`jti` is empty", { jti: "" });
  claims("`jti` is a number", { jti: 7 });
  claims("`jti` has 2 KiB", { jti: "x".repeat(2048) });
  claims("`ath` is missing", { ath: undefined });
  claims("`ath` is of another token", { ath: hash("x") });
  claims("`ath` has padding", { ath: `${hash(token)}=` });
  claims("`ath` is in hexadecimal", { ath: Buffer.from(hash(token), "base64url").toString("hex") });

  // The form
  const payloadOf = (url) => proof(url).split(".")[1];
  const validHeader = { typ: "dpop+jwt", alg: key.alg, jwk: key.jwk };
  add("a member of the header is repeated", (url) =>
    signed(part(JSON.stringify(validHeader).replace("{", '{"typ":"JWT",')), payloadOf(url)));
  add("a claim is repeated", (url) => {
    const json = Buffer.from(payloadOf(url), "base64url").toString();
    return signed(part(validHeader), part(json.replace("{", '{"htm":"POST",')));
  });
  add("the payload has a byte order mark", (url) =>
    signed(part(validHeader), part(`\ufeff${Buffer.from(payloadOf(url), "base64url")}`)));
  add("the payload is a list", (url) =>
    signed(part(validHeader), part(`[${Buffer.from(payloadOf(url), "base64url")}]`)));
  add("the payload has white space around it", (url) =>
    signed(part(validHeader), part(` ${Buffer.from(payloadOf(url), "base64url")}\n`)));
  add("the signature has padding", (url) => `${proof(url)}==`);
  add("the signature has set trailing bits", (url) => {
    const text = proof(url);
    // 64 bytes are 86 characters, of which the last has four bits that count for nothing.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1)) | 1];
  });
  add("the signature is DER", (url) => {
    const [head, payload] = proof(url).split(".");
    return `${head}.${payload}.${base64url(sign("sha256", Buffer.from(`${head}.${payload}`), key.privateKey))}`;
  });
  add("the signature is of other bytes", (url) => proof(url).replace(/\.[^.]+$/, `.${base64url(signature(key, "x"))}`));
  add("the signature is zero", (url) => proof(url).replace(/\.[^.]+$/, `.${base64url(Buffer.alloc(64))}`));
  add("the signature is empty", (url) => proof(url).replace(/\.[^.]+$/, "."));
  add("the signature is in the other base64", (url) => {
    // One whose signature has such a character.
    for (;;) {
      const [head, payload, last] = proof(url).split(".");
      if (/[-_]/.test(last)) return `${head}.${payload}.${last.replaceAll("-", "+").replaceAll("_", "/")}`;
    }
  });
  add("there is a fourth part", (url) => `${proof(url)}.x`);
  add("there are two parts", (url) => proof(url).split(".").slice(0, 2).join("."));
  add("it is not a JWT", () => "x");
  add("it is empty", () => "");
  add("it is the access token", () => token);
  add("there are two in one header", (url) => `${proof(url)}, ${proof(url)}`);
  add("there are two headers", (url) => [proof(url), proof(url)]);
  cases.push({ name: "there is none", headers: () => ({ authorization: `DPoP ${token}` }) });

  // The request
  add("the scheme is dpop", proof, { scheme: "dpop" });
  add("the scheme is Bearer", proof, { scheme: "Bearer" });
  cases.push({ name: "the scheme is Bearer, without a proof", headers: () => ({ authorization: `Bearer ${token}` }) });
  add("the token is not bound", (url) => proof(url, { of: unbound }), { of: unbound });
  add("the token is not bound, and the scheme is Bearer", (url) => proof(url, { of: unbound }), { of: unbound, scheme: "Bearer" });
  add("the proof was used before", proof, { send: "twice" });
  return cases;
}
