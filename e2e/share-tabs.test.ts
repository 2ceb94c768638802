// Ten tabs of a real browser that share one connection, while the tab that has it is closed, killed, frozen
// by the browser, and stopped dead: the others see every event once and in order all the while.

import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type * as Client from "../packages/tidings/src/index.ts";
import { type BareChromium, launchBareChromium } from "./bare-chromium.ts";
import { type CountingProxy, serveClient, startCountingProxy } from "./client-site.ts";
import { startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

const TABS = 10;
/** The machine may be busy, and a leader that does not answer is given some seconds. */
const eventually = { timeout: 60_000, interval: 50 };

let browser: BareChromium;

beforeAll(async () => {
  browser = await launchBareChromium();
});

afterAll(async () => {
  await browser?.close();
});

/** The globals of a page. */
interface Globals {
  createTidings: typeof Client.createTidings;
  client: Client.Tidings;
  seen: (number | string)[];
  /** Every status that the client has had. */
  statuses: string[];
}

interface Tab {
  page: Page;
  gone: boolean;
}

async function openTab(context: BrowserContext, origin: string, options: object): Promise<Tab> {
  const tab: Tab = { page: await context.newPage(), gone: false };
  tab.page.on("crash", () => {
    tab.gone = true;
  });
  tab.page.on("close", () => {
    tab.gone = true;
  });
  await tab.page.goto(origin);
  await tab.page.evaluate((options) => {
    const globals = globalThis as unknown as Globals;
    const seen: Globals["seen"] = [];
    globals.seen = seen;
    globals.client = globals.createTidings({
      ...options,
      onGap: ({ reason }) => void seen.push(reason),
    });
    const { client } = globals;
    globals.statuses = [];
    client.subscribe(() => globals.statuses.push(client.getSnapshot().status));
    client.onAny(({ data }) => void seen.push((data as { n: number }).n));
  }, options);
  return tab;
}

function statusOf({ page }: Tab): Promise<string> {
  return page.evaluate(() => (globalThis as unknown as Globals).client.getSnapshot().status);
}

function seenBy({ page }: Tab): Promise<(number | string)[]> {
  return page.evaluate(() => (globalThis as unknown as Globals).seen);
}

/** Publishes an event every few milliseconds until it is told to stop. */
function publishing(publish: (event: Record<string, unknown>) => Promise<string>) {
  let newest = 0;
  let going = true;
  const over = (async () => {
    while (going) {
      await publish({ topic: "a", data: { n: newest + 1 } });
      newest += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const stop = async () => {
    going = false;
    await over;
    return newest;
  };
  onTestFinished(async () => void (await stop()));
  return { newest: () => newest, stop };
}

test(`${TABS} tabs have one connection, whatever happens to the tab that has it`, async () => {
  const { context } = browser;
  const origin = await serveClient();
  const server = await startServer({ origins: [origin] });
  const proxy = await startCountingProxy(server.url);
  const options = {
    url: proxy.url,
    topics: ["a"],
    user: "ada",
    token: tokenFor("ada", ["a"]),
    shareTabs: true,
    timing: { heartbeatSecs: 2 },
  };
  let leading: Page | null = null;
  context.on("request", (request) => {
    if (request.url().includes("/api/sse")) leading = request.frame().page();
  });

  const tabs: Tab[] = [];
  for (let count = 0; count < TABS; count += 1) {
    tabs.push(await openTab(context, origin, options));
  }
  for (const tab of tabs) await expect.poll(() => statusOf(tab), eventually).toBe("open");
  expect(proxy.streams()).toBe(1);
  const events = publishing(server.publish);

  /** The tab that has the connection now. */
  function leader(): Tab {
    const tab = tabs.find(({ page, gone }) => page === leading && !gone);
    if (!tab) throw new Error("no tab has the connection");
    return tab;
  }

  /** All tabs but some have seen everything, and another one has the connection. */
  async function carriesOn(before: Tab, but: Tab[] = []): Promise<void> {
    await expect.poll(() => leading !== before.page && proxy.streams(), eventually).toBeTruthy();
    const newest = events.newest();
    for (const tab of tabs) if (!tab.gone && !but.includes(tab)) await hasSeen(tab, newest);
  }

  async function hasSeen(tab: Tab, newest: number): Promise<void> {
    await expect
      .poll(async () => (await seenBy(tab)).length, eventually)
      .toBeGreaterThanOrEqual(newest);
  }

  await expect.poll(() => events.newest(), eventually).toBeGreaterThan(10);
  const closed = leader();
  await closed.page.close();
  await carriesOn(closed);
  await oneStream(proxy);

  const killed = leader();
  const crash = await context.newCDPSession(killed.page);
  // The answer never comes: who would give it is no more.
  crash.send("Page.crash").catch(() => undefined);
  await carriesOn(killed);
  await oneStream(proxy);
  expect(tabs.filter(({ gone }) => !gone).length).toBeGreaterThan(2);

  const frozen = leader();
  const freezer = await context.newCDPSession(frozen.page);
  await freezer.send("Page.setWebLifecycleState", { state: "frozen" });
  await carriesOn(frozen, [frozen]);
  await oneStream(proxy);
  await freezer.send("Page.setWebLifecycleState", { state: "active" });
  await hasSeen(frozen, events.newest());
  const statuses = await frozen.page.evaluate(() => (globalThis as unknown as Globals).statuses);
  expect(statuses).toContain("paused");
  await oneStream(proxy);

  const stopped = leader();
  const debug = await stop(context, stopped);
  await carriesOn(stopped, [stopped]);
  await debug.send("Debugger.disable");
  await hasSeen(stopped, events.newest());
  await oneStream(proxy);

  const newest = await events.stop();
  for (const tab of tabs.filter(({ gone }) => !gone)) {
    await hasSeen(tab, newest);
    expect(await seenBy(tab)).toEqual(Array.from({ length: newest }, (_, index) => index + 1));
    expect(await statusOf(tab)).toBe("open");
  }
  expect(proxy.streams()).toBe(1);
}, 180_000);

async function oneStream(proxy: CountingProxy): Promise<void> {
  await expect.poll(() => proxy.streams(), eventually).toBe(1);
}

/** Not one line of the page's scripts runs until the debugger lets go of it. */
async function stop(context: BrowserContext, { page }: Tab): Promise<CDPSession> {
  const debug = await context.newCDPSession(page);
  await debug.send("Debugger.enable");
  const paused = new Promise((resolve) => debug.once("Debugger.paused", resolve));
  await debug.send("Debugger.pause");
  await paused;
  return debug;
}
