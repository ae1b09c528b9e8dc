// Keeps an access token fresh. The token stays in this script's memory: nothing is put into a storage that
// other scripts of the origin could read later.

/** Of a token's life, what must be left for it to be handed out. */
const LEFT = 0.2;

export class FreshToken extends EventTarget {
  #fetch;
  #current;
  #pending;

  /**
   * `fetch` asks the identity provider: `async () => ({ access_token, expires_in })`. In production that is what
   * your provider's library does, by a refresh token or a silent sign-in.
   */
  constructor(fetch) {
    super();
    this.#fetch = fetch;
    this.fetches = 0;
  }

  /** A token with time left. Whoever asks while it is being fetched gets the same one. */
  async get() {
    if (this.#current && performance.now() < this.#current.until) return this.#current.text;
    return this.renew();
  }

  /** The next token, whatever is left of this one. */
  renew() {
    this.#pending ??= this.#next().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  /** The one at hand was refused. */
  spoil(text) {
    // Somebody else may have a better one by now.
    if (text === undefined || text === this.#current?.text) this.#current = undefined;
  }

  /** Seconds until it is replaced; none if there is none. */
  get left() {
    return this.#current && Math.max(0, (this.#current.until - performance.now()) / 1000);
  }

  /** A token that is there already, such as one from signing in. */
  hold({ access_token: text, expires_in: seconds }, since = performance.now()) {
    this.#current = { text, until: since + seconds * 1000 * (1 - LEFT) };
    this.dispatchEvent(new Event("change"));
    return text;
  }

  async #next() {
    // Before it is asked for, so that the time on the way counts as used up. The clock of this machine is not
    // asked: it may be hours off.
    const asked = performance.now();
    const answer = await this.#fetch();
    this.fetches += 1;
    return this.hold(answer, asked);
  }
}
