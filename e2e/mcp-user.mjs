#!/usr/bin/env node
// The user of the MCP suites, and their browser: opens an authorization URL, and submits the forms of the issuer.
// As a program it stands for the browser that a client opens: `mcp-user.mjs URL` also calls the redirect URI.

import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { WAIT_MS } from "./limits.mjs";

const USER = "alice";
const MOST_STEPS = 20;

/** Logs in and consents. Returns the URL that the issuer redirects to, which is of another origin. */
export async function logIn(authorizationUrl) {
  const cookies = new Map();
  const { origin } = new URL(authorizationUrl);
  let [url, options] = [authorizationUrl, {}];
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...options.headers, ...(cookie && { cookie }) };
    const response = await fetch(url, { ...options, headers, redirect: "manual" });
    for (const set of response.headers.getSetCookie()) {
      const [name, value] = set.split(";")[0].split(/=(.*)/s);
      cookies.set(name, value);
    }
    const text = await response.text();
    const location = response.headers.get("location");
    if (location) {
      [url, options] = [new URL(location, url).href, {}];
      if (new URL(url).origin !== origin) return url;
    } else {
      [url, options] = submission(response, text, url);
    }
  }
  throw new Error(`no login after ${MOST_STEPS} steps: ${url}`);
}

/** Returns the request that submits the first form of a page, as URL and options. */
function submission(response, page, url) {
  const form = /<form\b[^>]*>[^]*?<\/form>/i.exec(page)?.[0];
  if (!response.ok || !form) throw new Error(`no form: ${response.status} ${url} ${page}`);
  const attribute = (tag, name) => {
    const value = new RegExp(`\\b${name}="([^"]*)"`, "i").exec(tag)?.[1];
    return value?.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&#39;", "'").replaceAll("&amp;", "&");
  };
  const body = new URLSearchParams();
  for (const [input] of form.matchAll(/<input\b[^>]*>/gi)) {
    const isHidden = attribute(input, "type") === "hidden";
    body.append(attribute(input, "name"), isHidden ? attribute(input, "value") : USER);
  }
  // The first button is the one that approves.
  const [button] = /<button\b[^>]*>/i.exec(form);
  if (attribute(button, "name")) body.append(attribute(button, "name"), attribute(button, "value"));
  const action = new URL(attribute(form, "action") ?? url, url).href;
  return [action, { method: "POST", body }];
}

/** Fetches a URL whose server may start later than the browser: a user is slower. */
async function fetchOnceItListens(url) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    try {
      return await fetch(url);
    } catch (error) {
      if (error.cause?.code !== "ECONNREFUSED" || Date.now() > deadline) throw error;
      await pause(50);
    }
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const callback = await logIn(process.argv[2]);
  const response = await fetchOnceItListens(callback);
  if (!response.ok) throw new Error(`${callback}: ${response.status}`);
}
