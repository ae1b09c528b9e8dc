// The paths of the programs that cargo builds.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Returns the path of an example in the debug build, or the value of the environment variable `variable`. */
export function program(name, variable) {
  const chosen = process.env[variable];
  if (chosen) return chosen;
  const built = path.join(targetDirectory(), "debug", name);
  if (!existsSync(built)) throw new Error(`${built} is missing: run cargo build first, or set ${variable}`);
  return built;
}

/** Returns the folder that cargo builds into. */
export function targetDirectory() {
  const options = ["metadata", "--format-version=1", "--no-deps", "--locked"];
  return JSON.parse(execFileSync("cargo", options, { cwd: ROOT, maxBuffer: 1 << 26 })).target_directory;
}
