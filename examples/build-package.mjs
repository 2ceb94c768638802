// Builds the npm package that the examples use, when it was never built or its source is newer. Knows how
// to tell that; what is built, and how, is the package's own business.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("../packages/tidings/", import.meta.url));
const SOURCES = ["src", "package.json", "tsdown.config.ts"];

if (builtAt() < changedAt()) {
  process.stdout.write("building packages/tidings\n");
  const manifest = createRequire(join(PACKAGE, "package.json")).resolve("tsdown/package.json");
  const tsdown = join(manifest, "../dist/run.mjs");
  const { status } = spawnSync(process.execPath, [tsdown, "--logLevel", "warn"], {
    cwd: PACKAGE,
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
}

/** When the oldest of the built files was written, milliseconds; 0 when there is none. */
function builtAt() {
  const dist = join(PACKAGE, "dist");
  const files = existsSync(dist) ? filesIn(dist) : [];
  return files.length ? Math.min(...files.map(writtenAt)) : 0;
}

function changedAt() {
  return Math.max(...SOURCES.flatMap((name) => filesIn(join(PACKAGE, name))).map(writtenAt));
}

function filesIn(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesIn(join(path, name)));
}

function writtenAt(path) {
  return statSync(path).mtimeMs;
}
