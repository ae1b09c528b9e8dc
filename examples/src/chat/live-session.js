// A WebSocket that remains open: it renews its token, and connects again if that can succeed.

const PROTOCOL = "chat";
const LONGEST_PAUSE_MS = 30_000;
/** The least time between two renewals, so that short-lived tokens do not overload the issuer. */
const SHORTEST_RENEWAL_MS = 250;
/** A timer of more than 24 days fires at once. */
const LONGEST_RENEWAL_MS = 86_400_000;
/** Expired, or its key was withdrawn. The next token has another key. */
const A_FRESH_TOKEN_HELPS = new Set(["token expired", "invalid token"]);

/**
 * Events: `state` (detail: { state, why }), `message` (detail: the message of the server), `renewed`.
 * States: "connecting", "open", "waiting" (connects again by itself), "stopped" (would be rejected again).
 */
export class LiveSession extends EventTarget {
  #url;
  #token;
  #socket;
  #stopped = false;
  #wake = () => {};
  #renews;
  #renewal;
  #ends;

  /** `token` is a FreshToken: its `get()` returns a token that has not expired. */
  constructor(url, token, { renews = true } = {}) {
    super();
    this.#url = url;
    this.#token = token;
    this.#renews = renews;
    // Starts after the caller has been able to add its listeners.
    queueMicrotask(() => this.#stay());
  }

  /** Also applies to the open connection. */
  set renews(renews) {
    this.#renews = renews;
    this.#renewLater();
  }

  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  stop() {
    this.#stopped = true;
    this.#socket?.close(1000);
    this.#wake();
  }

  async #stay() {
    let pause = 1000;
    let retried = false;
    while (!this.#stopped) {
      const { opened, code, reason } = await this.#connect();
      this.#ends = undefined;
      clearTimeout(this.#renewal);
      if (this.#stopped) break;
      const why = `${code} ${reason}`.trim();
      if (opened) {
        pause = 1000;
        retried = false;
      }
      if (code === 1008 && A_FRESH_TOKEN_HELPS.has(reason) && !retried) {
        // Only once: if the next token is also rejected, a clock or a setting is wrong.
        this.#say("waiting", why);
        this.#token.spoil();
        retried = true;
      } else if (code === 1008) {
        // The same token would be rejected again.
        this.#stopped = true;
        return this.#say("stopped", why);
      } else {
        // 1013, 1006 or another code: the server or the network is not available.
        await this.#rest(pause, why);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
    this.#say("stopped", "");
  }

  /** Opens a connection, and waits until it is closed. `opened`: the server has sent its welcome. */
  async #connect() {
    this.#say("connecting", "");
    let token;
    try {
      token = await this.#token.get();
    } catch (error) {
      return { code: 0, reason: `no token: ${error.message}` };
    }
    if (this.#stopped) return {};
    const socket = new WebSocket(this.#url, ["bearer", token, PROTOCOL]);
    this.#socket = socket;
    let opened = false;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.welcome) {
        // A rejected handshake is also completed, so only this message shows that it was accepted.
        opened = true;
        this.#say("open", socket.protocol);
      }
      const { seconds } = message.welcome ?? message.renewed ?? {};
      if (seconds !== undefined) {
        this.#ends = performance.now() + seconds * 1000;
        this.#renewLater();
      }
      if (message.renewed) this.dispatchEvent(new Event("renewed"));
      this.dispatchEvent(new CustomEvent("message", { detail: message }));
    };
    return new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => resolve({ opened, code, reason });
    });
  }

  /** Renews the token at half of its remaining time. */
  #renewLater() {
    clearTimeout(this.#renewal);
    if (!this.#renews || this.#ends === undefined) return;
    const half = (this.#ends - performance.now()) / 2;
    this.#renewal = setTimeout(async () => {
      try {
        const renew = await this.#token.renew();
        if (this.#renews) this.send({ renew });
      } catch {
        // The session ends with its token, and the client connects again.
      }
    }, Math.min(Math.max(half, SHORTEST_RENEWAL_MS), LONGEST_RENEWAL_MS));
  }

  #rest(milliseconds, why) {
    this.#say("waiting", `${why}; again in ${Math.round(milliseconds / 1000)} s`);
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  #say(state, why) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, why } }));
  }
}
