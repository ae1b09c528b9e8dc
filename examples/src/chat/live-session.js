// A WebSocket that stays open: it renews its token in place, and connects again where that helps.

const PROTOCOL = "chat";
const LONGEST_PAUSE_MS = 30_000;
/** Whatever a token's life: its issuer is not to be asked without end. */
const SHORTEST_RENEWAL_MS = 250;
/** A timer knows no more than 24 days, and fires at once beyond. */
const LONGEST_RENEWAL_MS = 86_400_000;
/** Expired, or its key was withdrawn: the next one is signed with another. */
const A_FRESH_TOKEN_HELPS = new Set(["token expired", "invalid token"]);

/**
 * Events: `state` (detail: { state, why }), `message` (detail: what the server said), `renewed`.
 * States: "connecting", "open", "waiting" (connects again by itself), "stopped" (would be refused again).
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

  /** `token` is a FreshToken: its `get()` gives a token with time left. */
  constructor(url, token, { renews = true } = {}) {
    super();
    this.#url = url;
    this.#token = token;
    this.#renews = renews;
    // Not before its maker could begin to listen.
    queueMicrotask(() => this.#stay());
  }

  /** Also of the connection that is open. */
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
        // Once: if the next one is refused too, somebody's clock or settings are wrong.
        this.#say("waiting", why);
        this.#token.spoil();
        retried = true;
      } else if (code === 1008) {
        // The same again would be refused again.
        this.#stopped = true;
        return this.#say("stopped", why);
      } else {
        // 1013, 1006, or whatever ended it: the server is away, or the network.
        await this.#rest(pause, why);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
    this.#say("stopped", "");
  }

  /** One connection, until it is closed. `opened`: the server has said something. */
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
        // A refused handshake is completed too. Only now it is known that this one was accepted.
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

  /** Well before the token ends. */
  #renewLater() {
    clearTimeout(this.#renewal);
    if (!this.#renews || this.#ends === undefined) return;
    const half = (this.#ends - performance.now()) / 2;
    this.#renewal = setTimeout(async () => {
      try {
        const renew = await this.#token.renew();
        if (this.#renews) this.send({ renew });
      } catch {
        // The session ends with its token, and is opened again.
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
