// The reference that `npm run docs` writes: everything that is exported is in it and has words.

import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const folder: string = fileURLToPath(new URL("..", import.meta.url));
const typedoc: string = dirname(createRequire(import.meta.url).resolve("typedoc/package.json"));

// 8 seconds of work, on a machine that may have other things to do.
test("typedoc has nothing to complain about", { timeout: 120_000 }, async () => {
  const checking = [join(typedoc, "bin/typedoc"), "--emit", "none"];
  const said = await promisify(execFile)(process.execPath, checking, { cwd: folder }).catch(
    ({ stdout, stderr }) => ({ stdout, stderr }),
  );
  expect(said).toEqual({ stdout: "", stderr: "" });
});
