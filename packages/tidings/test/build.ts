// Builds the package as it is published, for the tests that use it in that form. It knows how to run the
// programs of installed packages, and nothing of what is tested.

import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const { resolve } = createRequire(import.meta.url);

/** Where the package is. */
export const folder: string = fileURLToPath(new URL("..", import.meta.url));

/** Runs a command of an installed package in this one. */
export async function command(name: string, program: string, ...args: string[]): Promise<string> {
  const path = join(dirname(resolve(`${name}/package.json`)), program);
  const { stdout } = await run(process.execPath, [path, ...args], { cwd: folder });
  return stdout;
}

/** Writes `dist` anew. Two of these at the same time would be in each other's way. */
export async function buildPackage(): Promise<void> {
  await command("tsdown", "dist/run.mjs", "--logLevel", "warn");
}
