// The chat and the single-page client, operated as a user does.

import { Page } from "./browser-page.mjs";

/** A page with a list of events, the newest first. */
class NotingPage extends Page {
  /** Returns the events, the oldest first. */
  async events() {
    return (await this.page.locator("#events li > span").allTextContents()).reverse();
  }

  /** Waits until this number of events match. */
  async noted(pattern, { times = 1 } = {}) {
    const notes = this.page.locator("#events li > span").filter({ hasText: pattern });
    // The list has the newest event first.
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
  /** All WebSockets that it has opened. */
  sockets = [];

  constructor(...parts) {
    super(...parts);
    this.page.on("websocket", (socket) => this.sockets.push(socket));
  }

  /** Enters a room, and waits for a state of the connection. */
  async join(room, state = "open") {
    await this.page.locator(`[data-room="${room}"]`).click();
    await this.waitForState(state);
  }

  /** Waits for a state of the connection, and returns its reason. */
  async waitForState(state) {
    await this.page.locator(`#state[data-state="${state}"]`).waitFor();
    return this.text("#why");
  }

  /** Returns the rooms whose buttons are pressed. */
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

  /** Waits for a message. */
  async receives(name, text) {
    await this.page.locator("#lines li").filter({ hasText: new RegExp(`^${name} ${text}$`) }).waitFor();
  }

  lines() {
    return this.page.locator("#lines li").allTextContents();
  }
}

export class App extends NotingPage {
  /** Calls a path, or "ten" at once, and waits until this number of calls was accepted and rejected. */
  async call(path, { accepted, rejected = 0 }) {
    await this.page.locator(path === "ten" ? "#ten" : `[data-path="${path}"]`).click();
    await this.counted("accepted", accepted);
    await this.counted("refused", rejected);
  }

  async counted(what, number) {
    await this.page.locator(`#${what}`).filter({ hasText: new RegExp(`^${number}$`) }).waitFor();
  }

  async count(what) {
    return Number(await this.text(`#${what}`));
  }

  /** Returns the number of requests for a token. */
  tokenRequests() {
    const isToken = ({ method, url }) => method === "POST" && new URL(url).pathname === "/token";
    return this.seen.exchanges.filter(isToken).length;
  }
}
