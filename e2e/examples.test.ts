// The examples with users as those meet them, in Chromium: their own cookies, made by their own packages, open
// the stream, and signing out ends it. And what the pages show that use the npm package.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { buildNextjs, startAnyBackend, startNextjs } from "./examples.ts";
import { commentAndPoll, notifyAndRecover } from "./nextjs.ts";
import { launchChromium } from "./reader.ts";
import { signInStreamSignOut } from "./signing-out.ts";

/** `next build` takes half a minute on two cores, a good part of it to check types. */
const BUILD_MS_MAX = 180_000;

/** Two browsers, a restart, a poll ten seconds later; and the machine may be busy. */
const TWO_USERS_MS_MAX = 120_000;

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

test(
  "Next.js by tokens: two users are notified live, also of what was sent while Tidings was away",
  async () => notifyAndRecover(browser, await startNextjs("authjs")),
  TWO_USERS_MS_MAX,
);

test(
  "Next.js by tokens: comments are limited, and polls bring what streams do",
  async () => commentAndPoll(browser, await startNextjs("introspect")),
  TWO_USERS_MS_MAX,
);
