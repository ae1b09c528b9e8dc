// The quickstart's pages in a real browser, operated as a user does.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

import { WAIT_MS } from "./limits.mjs";

export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    timeout: WAIT_MS,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Only names of this machine are resolved.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ],
  });
}

/**
 * Opens a page in a context of its own, without cached responses and preflights. With `manualClock`, the clock of its
 * scripts, timers included, moves only by `advance`.
 */
export async function openPage(browser, url, As = Quickstart, { manualClock = false } = {}) {
  const context = await browser.newContext();
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const seen = { violations: [], errors: [], outside: [], exchanges: [] };
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) seen.violations.push(message.text());
  });
  await watchNetwork(context, page, seen);
  if (manualClock) {
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 1000);
  }
  await page.goto(url);
  await page.locator("body[data-ready]").waitFor();
  return new As(context, page, seen);
}

/** Records requests by the browser's own protocol. Playwright does not report preflights. */
async function watchNetwork(context, page, { outside, exchanges }) {
  const session = await context.newCDPSession(page);
  const requests = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request }) => {
    requests.set(requestId, request);
    noteOutside(request.url, outside);
  });
  session.on("Network.responseReceived", ({ requestId, type, response }) => {
    const method = requests.get(requestId)?.method;
    exchanges.push({ type, method, url: response.url, status: response.status });
  });
  session.on("Network.webSocketCreated", ({ url }) => noteOutside(url, outside));
  await session.send("Network.enable");
}

function noteOutside(url, outside) {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "data:" && !["127.0.0.1", "localhost"].includes(hostname)) outside.push(url);
}

export class Page {
  constructor(context, page, seen) {
    Object.assign(this, { context, page, seen });
  }

  text(selector) {
    return this.page.locator(selector).textContent();
  }

  /** Advances the clock of its scripts, and runs all timers that are due. */
  advance(seconds) {
    return this.page.clock.runFor(seconds * 1000);
  }

  /**
   * Returns the contrast of the text of these elements, and of the elements in them, to their background, by WCAG 2.2.
   */
  contrasts(selector) {
    return this.page.locator(selector).evaluateAll((elements) => {
      const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const pixel = (color) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        return Array.from(context.getImageData(0, 0, 1, 1).data);
      };
      const luminance = ([red, green, blue]) => {
        const linear = [red, green, blue].map((byte) => {
          const part = byte / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
      };
      /** Returns the nearest opaque background, and the opacity of the element. */
      const behind = (element) => {
        let [background, opacity] = [undefined, 1];
        for (let node = element; node; node = node.parentElement) {
          const style = getComputedStyle(node);
          opacity *= Number(style.opacity);
          const color = pixel(style.backgroundColor);
          if (!background && color[3] === 255) background = color;
        }
        return { background, opacity };
      };
      return elements
        .flatMap((element) => [element, ...element.querySelectorAll("*")])
        .map((element) => {
          const { background, opacity } = behind(element);
          const [text, back] = [pixel(getComputedStyle(element).color), background].map(luminance);
          const [lighter, darker] = text > back ? [text, back] : [back, text];
          return { element: element.outerHTML, opacity, ratio: (lighter + 0.05) / (darker + 0.05) };
        });
    });
  }

  /** Closes the page, and checks what must hold in every test. */
  async close() {
    await this.context.close();
    assert.deepEqual(this.seen.outside, [], "requests to other machines");
    assert.deepEqual(this.seen.violations, [], "content security policy");
    assert.deepEqual(this.seen.errors, [], "errors of the page's script");
  }
}

class Quickstart extends Page {
  /** Sets the clock of the page to `seconds` since the epoch, and waits until an element shows this text. */
  async showsAt(seconds, selector, text) {
    await this.page.clock.setFixedTime(seconds * 1000);
    await this.page.locator(selector).filter({ hasText: new RegExp(`^${text}$`) }).waitFor();
  }

  /** Runs an action that is logged, and returns its log entry once it is complete. */
  async attempt(action) {
    const newest = this.page.locator("#log > li").first();
    const before = (await newest.count()) ? Number(await newest.getAttribute("data-n")) : 0;
    await action();
    const entry = this.page.locator(`#log > li[data-n="${before + 1}"][data-state=done]`);
    await entry.waitFor();
    return entry.evaluate((item) => ({
      ...item.dataset,
      fields: Object.fromEntries(
        Array.from(item.querySelectorAll("dd"), (field) => [field.dataset.field, field.textContent]),
      ),
      challenge: item.querySelector('[data-field="WWW-Authenticate"]')?.textContent,
      body: item.querySelector(".body")?.textContent,
    }));
  }

  /** Calls a route with the chosen token. */
  call(route) {
    return this.attempt(() => this.page.locator(`button[data-route="${route}"]`).click());
  }

  /** Mints a token by the form, which also chooses it. Returns its id. */
  async mint({ preset = "user", claims, lifetime = 300 } = {}) {
    await this.page.locator(`[data-preset="${preset}"]`).click();
    if (claims) await this.page.locator("#claims").fill(JSON.stringify(claims));
    await this.page.locator("#lifetime").fill(String(lifetime));
    const answer = await this.attempt(() => this.page.locator("#mint").click());
    assert.equal(answer.status, "200");
    return this.chosen();
  }

  /** Chooses a token by its id, or "none" or "garbage". */
  async choose(value) {
    await this.page.locator(`input[name=token][value="${value}"]`).check();
  }

  chosen() {
    return this.page.locator("input[name=token]:checked").inputValue();
  }

  async rotate() {
    const answer = await this.attempt(() => this.page.locator("#rotate").click());
    assert.equal(answer.status, "200");
  }

  async crossOrigin(on) {
    await this.page.locator("#cross-origin").setChecked(on);
  }

  /** Returns the preflights for a path. */
  preflights(path) {
    return this.seen.exchanges.filter(
      ({ type, method, url }) =>
        type === "Preflight" && method === "OPTIONS" && new URL(url).pathname === path,
    );
  }
}
