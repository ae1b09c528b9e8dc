// The chat and the single-page client, as a person would use them.

import { Page } from "./browser-page.mjs";

/** Pages that note what happens, the newest on top. */
class NotingPage extends Page {
  /** What was noted, the oldest first. */
  async events() {
    return (await this.page.locator("#events li > span").allTextContents()).reverse();
  }

  /** Waits until so many notes match. */
  async noted(pattern, { times = 1 } = {}) {
    const notes = this.page.locator("#events li > span").filter({ hasText: pattern });
    // The one that was the first to be noted is the last but `times - 1`.
    await notes.nth(times - 1).waitFor({ state: "attached" });
  }

  async set(id, value) {
    await this.page.locator(`#${id}`).fill(String(value));
  }

  async turn(id, on) {
    await this.page.locator(`#${id}`).setChecked(on);
  }

  click(id) {
    return this.page.locator(`#${id}`).click();
  }
}

export class Chat extends NotingPage {
  /** Every WebSocket that it has opened. */
  sockets = [];

  constructor(...parts) {
    super(...parts);
    this.page.on("websocket", (socket) => this.sockets.push(socket));
  }

  /** Enters a room; `state` is what it comes to. */
  async join(room, state = "open") {
    await this.page.locator(`[data-room="${room}"]`).click();
    await this.standing(state);
  }

  /** Waits until the connection stands so, and says why. */
  async standing(state) {
    await this.page.locator(`#state[data-state="${state}"]`).waitFor();
    return this.text("#why");
  }

  /** The room that is marked. */
  pressed() {
    return this.page.locator("[data-room][aria-pressed=true]").evaluateAll((buttons) => buttons.map((button) => button.dataset.room));
  }

  async permit(scope, on = true) {
    await this.page.locator(`input[name=scope][value="${scope}"]`).setChecked(on);
  }

  async say(text) {
    await this.set("text", text);
    await this.click("send");
  }

  /** Waits for a line. */
  async hears(name, text) {
    await this.page.locator("#lines li").filter({ hasText: new RegExp(`^${name} ${text}$`) }).waitFor();
  }

  lines() {
    return this.page.locator("#lines li").allTextContents();
  }
}

export class App extends NotingPage {
  /** Calls a path, or "ten" at once, and waits until as many are accepted or refused as there are to be. */
  async call(path, { accepted, refused = 0 }) {
    await this.page.locator(path === "ten" ? "#ten" : `[data-path="${path}"]`).click();
    await this.counted("accepted", accepted);
    await this.counted("refused", refused);
  }

  async counted(what, number) {
    await this.page.locator(`#${what}`).filter({ hasText: new RegExp(`^${number}$`) }).waitFor();
  }

  async count(what) {
    return Number(await this.text(`#${what}`));
  }

  /** How often the issuer was asked for a token. */
  tokenRequests() {
    const isToken = ({ method, url }) => method === "POST" && new URL(url).pathname === "/token";
    return this.seen.exchanges.filter(isToken).length;
  }
}
