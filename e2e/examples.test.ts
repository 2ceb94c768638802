// The examples as their users meet them, in Chromium: their own cookies, made by their own packages, open
// the stream, and signing out ends it.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { buildNextjs, startAnyBackend, startNextjs } from "./examples.ts";
import { launchChromium } from "./reader.ts";
import { signInStreamSignOut } from "./signing-out.ts";

/** `next build` takes 6 seconds on two idle cores. */
const BUILD_MS_MAX = 180_000;

let browser: Browser;

beforeAll(async () => {
  await buildNextjs();
  browser = await launchChromium();
}, BUILD_MS_MAX);

afterAll(async () => {
  await browser?.close();
});

test.each(["authjs", "introspect"] as const)(
  "Next.js with Auth.js, by %s: a session opens the stream, signing out ends it",
  async (way) => {
    await signInStreamSignOut(browser, await startNextjs(way), "authjs.session-token");
  },
);

test("any backend: a session opens the stream, signing out ends it", async () => {
  await signInStreamSignOut(browser, await startAnyBackend(), "sid");
});
