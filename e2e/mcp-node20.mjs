// Lets the conformance suite start with Node 20, which has no `fs.globSync`; its server scenarios do not call it:
// `node --import ./mcp-node20.mjs …`.

import fs from "node:fs";
import { register } from "node:module";
import { isMainThread } from "node:worker_threads";

const SHIM = `data:text/javascript,
  export * from "node:fs";
  export { default } from "node:fs";
  export const globSync = () => { throw new Error("fs.globSync needs Node 22"); };`;

if (isMainThread && !fs.globSync) register(import.meta.url);

export function resolve(specifier, context, next) {
  const isOfSuite = /\/node_modules\/(@modelcontextprotocol\/conformance|conformance-2026)\//.test(context.parentURL);
  return specifier === "fs" && isOfSuite ? { url: SHIM, shortCircuit: true } : next(specifier, context);
}
