// Before the tests: builds the npm package that the examples use, unless that was done since it was changed.
// Once for all files, so that no two of them build at the same time.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export async function setup(): Promise<void> {
  const script = fileURLToPath(new URL("../examples/build-package.mjs", import.meta.url));
  await promisify(execFile)(process.execPath, [script]);
}
