// The browser's own EventSource, on a page of another origin than the hub's.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { browserReader, launchChromium, startSite } from "./reader.ts";
import { testResuming } from "./resuming.ts";

let browser: Browser;
let site: Awaited<ReturnType<typeof startSite>>;

beforeAll(async () => {
  browser = await launchChromium();
  site = await startSite();
});

afterAll(async () => {
  await browser?.close();
  site?.close();
});

testResuming({
  reader: () => browserReader(browser, site.origin),
  origins: () => [site.origin],
  keepsBareIds: true,
});
