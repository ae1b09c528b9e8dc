// Keeps an access token fresh. The token is only in the memory of this script, and not in a storage that other
// scripts of the origin can read later.

/** The part of a token's lifetime that must remain when it is returned. */
const LEFT = 0.2;

export class FreshToken extends EventTarget {
  #fetch;
  #current;
  #pending;

  /**
   * `fetch` gets a token from the identity provider: `async () => ({ access_token, expires_in })`. In production the
   * library of your provider does this, by a refresh token or a silent sign-in.
   */
  constructor(fetch) {
    super();
    this.#fetch = fetch;
    this.fetches = 0;
  }

  /** Returns a token that has not expired. Calls during a fetch get the same one. */
  async get() {
    if (this.#current && performance.now() < this.#current.until) return this.#current.text;
    return this.renew();
  }

  /** Returns the next token, regardless of the remaining time of this one. */
  renew() {
    this.#pending ??= this.#next().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  /** Discards the cached token, which was rejected. */
  spoil(text) {
    // Another call may have replaced it.
    if (text === undefined || text === this.#current?.text) this.#current = undefined;
  }

  /** The seconds until the token is replaced, or undefined without a token. */
  get left() {
    return this.#current && Math.max(0, (this.#current.until - performance.now()) / 1000);
  }

  /** Caches a given token, such as that of a login. */
  hold({ access_token: text, expires_in: seconds }, since = performance.now()) {
    this.#current = { text, until: since + seconds * 1000 * (1 - LEFT) };
    this.dispatchEvent(new Event("change"));
    return text;
  }

  async #next() {
    // Measured from the request, so that the time of the transfer is subtracted. The wall clock is not used, because
    // it may be wrong by hours.
    const asked = performance.now();
    const answer = await this.#fetch();
    this.fetches += 1;
    return this.hold(answer, asked);
  }
}
