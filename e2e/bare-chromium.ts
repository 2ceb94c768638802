// Chromium as people have it: tabs that are not looked at are hidden, and the browser may freeze them. A
// browser that Playwright launches keeps all tabs awake. Knows nothing of what is shown in them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type BrowserContext, chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGUMENTS } from "./reader.ts";

export interface BareChromium {
  /** The tabs of its window. */
  readonly context: BrowserContext;
  close(): Promise<void>;
}

export async function launchBareChromium(): Promise<BareChromium> {
  const folder = await mkdtemp(join(tmpdir(), "tidings-chromium-"));
  const child = spawn(
    CHROMIUM,
    [
      ...CHROMIUM_ARGUMENTS,
      "--headless",
      "--no-default-browser-check",
      "--remote-debugging-port=0",
      `--user-data-dir=${folder}`,
      "about:blank",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const exited = once(child, "exit");
  const close = async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  try {
    const address = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`Chromium ended with ${code}`)));
      // Read to the end, so that a chatty browser never blocks on a full pipe.
      createInterface({ input: child.stderr }).on("line", (line) => {
        const [, found] = /^DevTools listening on (ws:.*)$/.exec(line) ?? [];
        if (found) resolve(found);
      });
    });
    const browser = await chromium.connectOverCDP(address, { noDefaults: true });
    const [context] = browser.contexts();
    if (!context) throw new Error("Chromium has no window");
    return { context, close };
  } catch (error) {
    await close();
    throw error;
  }
}
