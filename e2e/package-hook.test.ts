// What `useRealTimeUpdates` says is so: in Chromium, against the real server, while servers, networks, proxies,
// tokens and users fail. Each row: the phases it went through, and every event once.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { eventually, type Hook, type HookOptions, openHook, TOPIC, token } from "./hook.ts";
import type { CuttingProxy } from "./proxy.ts";
import { launchChromium, type Site, startSite } from "./reader.ts";
import { type Server, startServer } from "./server.ts";

const STREAMS = /^GET \/api\/sse/;

let browser: Browser;
let site: Site;

beforeAll(async () => {
  browser = await launchChromium();
  site = await startSite(inject("packagePage"));
});

afterAll(async () => {
  await browser?.close();
  site?.close();
});

/** A server that lets a page come back as often as it must, and the hook on a page. */
async function start(
  options?: HookOptions,
  settings: Record<string, string> = {},
  before?: (proxy: CuttingProxy) => void,
) {
  const server = await startServer({ origins: [site.origin], settings });
  return { server, hook: await openHook(browser, site.origin, server, options, before) };
}

async function publish(server: Server, ...data: unknown[]): Promise<void> {
  for (const one of data) await server.publish({ topic: TOPIC, data: one });
}

/** Sees to it that the page has a stream and the event 1. */
async function begin(server: Server, hook: Hook): Promise<void> {
  await hook.until("sse");
  await publish(server, 1);
  await expect.poll(hook.seen, eventually).toEqual([1]);
}

/** Publishes the event 4, and compares: nothing was lost and nothing doubled. */
async function end(server: Server, hook: Hook): Promise<void> {
  await hook.until("sse");
  await publish(server, 4);
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3, 4]);
}

test.each([
  ["killed", /^(network|ended)$/],
  ["drained", /^closing drain$/],
] as const)("a server that is %s and started anew: a gap, then what follows", async (how, why) => {
  const { server, hook } = await start();
  await hook.until("sse");
  expect(await hook.lastUpdateMs()).toBeUndefined();
  const beganMs = Date.now();
  await publish(server, 1, 2);
  await expect.poll(hook.seen, eventually).toEqual([1, 2]);
  await expect.poll(hook.lastUpdateMs, eventually).toBeGreaterThanOrEqual(beganMs);
  await (how === "killed" ? server.kill() : server.drain());
  await hook.until("waiting");
  const second = await startServer({ port: server.port, origins: [site.origin] });
  await hook.until("sse");
  await publish(second, 3);
  await expect.poll(hook.seen, eventually).toEqual([1, 2, "gap epoch", 3]);
  expect(await hook.phases()).toMatch(/^loading → sse → waiting( → polling)? → sse$/);
  expect((await hook.errors())[0]).toMatch(why);
});

test("a network that was gone for a moment: back before anybody noticed", async () => {
  // No silence could be noticed in the time that the test gives.
  const { server, hook } = await start({}, { TIDINGS_STREAMS__HEARTBEAT_SECS: "15" });
  await begin(server, hook);
  const away = await cut(hook);
  await publish(server, 2, 3);
  await expect.poll(hook.proxy.held, eventually).toBeGreaterThan(0);
  await away.back();
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3]);
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse");
});

test("a network that was gone for longer: back at once, whatever was planned", async () => {
  const { server, hook } = await start({ transports: ["sse"], timing: { backoffMaxMs: 30_000 } });
  await begin(server, hook);
  const away = await cut(hook);
  await publish(server, 2, 3);
  const plannedMs = async () => (await hook.returned()).at(-1)?.retryAtMs ?? 0;
  await expect
    .poll(async () => (await plannedMs()) - Date.now(), eventually)
    .toBeGreaterThan(3_000);
  const wouldBeMs = await plannedMs();
  await away.back();
  await hook.until("sse");
  expect((await hook.returned()).at(-1)?.atMs).toBeLessThan(wouldBeMs);
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["silent", "network"]);
});

test("a page that was asleep while its connection died", async () => {
  const { server, hook } = await start();
  await begin(server, hook);
  hook.proxy.hold(/./);
  const wake = await putToSleep();
  await publish(server, 2, 3);
  // The first piece held is the events; each one after that is a heartbeat, a second.
  await expect.poll(hook.proxy.held, eventually).toBeGreaterThan(6);
  hook.proxy.release();
  wake();
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3]);
  await end(server, hook);
  // Silence makes it doubt the stream, so that polls may speak first.
  expect(await hook.phases()).toMatch(/^loading → sse → waiting( → sse)?( → polling)? → sse$/);
  expect(await hook.errors()).toEqual(["silent"]);
});

test("a page that is left, and come back to by the back button", async () => {
  const { server, hook } = await start();
  await begin(server, hook);
  await hook.page.goto(`${site.origin}/elsewhere`);
  await publish(server, 2, 3);
  // It is not loaded again: it goes on.
  await hook.page.goBack({ waitUntil: "commit" });
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3]);
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse → paused → loading → sse");
});

test("a stream that is held in the middle: polls, and the stream when it is let go", async () => {
  const { server, hook } = await start({ timing: { connectMs: 3_000 } });
  await begin(server, hook);
  hook.proxy.hold(STREAMS);
  await hook.until("polling");
  await publish(server, 2, 3);
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3]);
  hook.proxy.release();
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → polling → sse");
  expect(await hook.errors()).toEqual(["silent"]);
});

test("a stream that is held from the beginning: polls, and the stream when it is let go", async () => {
  const timing = { connectMs: 1_500 };
  const { server, hook } = await start({ timing }, {}, (proxy) => proxy.hold(STREAMS));
  await hook.until("polling");
  await publish(server, 1, 2, 3);
  await expect.poll(hook.seen, eventually).toEqual([1, 2, 3]);
  hook.proxy.release();
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → waiting → polling → sse");
  expect(await hook.errors()).toEqual(["silent"]);
});

test("tokens that run out in mid-stream, time and again: nobody notices", async () => {
  let tokens = 0;
  const getToken = () => {
    tokens += 1;
    return token({ until: Math.floor(Date.now() / 1_000) + (tokens < 3 ? 4 : 600) });
  };
  const { server, hook } = await start({ getToken });
  await hook.until("sse");
  let next = 0;
  for (; tokens < 3; next += 1) await publish(server, next);
  await publish(server, next);
  const numbers = Array.from({ length: next + 1 }, (_, i) => i);
  await expect.poll(hook.seen, eventually).toEqual(numbers);
  expect(await hook.phases()).toBe("loading → sse");
});

test("a token that runs out when there is no other: the reason, and the stream when there is", async () => {
  let signedIn = true;
  let tokens = 0;
  const getToken = () => {
    if (!signedIn) throw new Error("nobody is signed in");
    tokens += 1;
    return token({ until: Math.floor(Date.now() / 1_000) + (tokens === 1 ? 3 : 600) });
  };
  const { server, hook } = await start({ getToken });
  await begin(server, hook);
  signedIn = false;
  await publish(server, 2);
  const error = async () => (await hook.returned()).at(-1)?.error;
  await expect.poll(error, eventually).toMatchObject({ kind: "token" });
  expect((await error())?.message).toContain("nobody is signed in");
  await publish(server, 3);
  signedIn = true;
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["closing expired", "token"]);
});

test("a user who is revoked and has no other token: the end, until they sign in again", async () => {
  let current = token();
  const { server, hook } = await start({ getToken: () => current });
  await begin(server, hook);
  const asked = () => hook.proxy.requestLines.filter((line) => STREAMS.test(line)).length;
  expect(asked()).toBe(1);
  await server.post("/api/revocations", { user: "ada" });
  await publish(server, 2, 3);
  await hook.until("closed");
  expect((await hook.returned()).at(-1)?.error).toMatchObject({ status: 401, code: "revoked" });
  expect(await hook.phases()).toBe("loading → sse → waiting → closed");
  expect(await hook.errors()).toEqual(["closing revoked", "status revoked"]);
  // With the token that it had got anew, and once more with what the application gave after that.
  expect(asked()).toBe(3);

  // Users are revoked up to a second; a token of a later one is good.
  const revokedSecs = Math.floor(Date.now() / 1_000);
  await expect.poll(() => Math.floor(Date.now() / 1_000), eventually).toBeGreaterThan(revokedSecs);
  expect(asked()).toBe(3);
  current = token();
  await hook.reconnect();
  await end(server, hook);
  expect(await hook.phases()).toMatch(/ → closed → loading → sse$/);
  expect(asked()).toBe(4);
});

test("a user who is revoked and gets a fresh token: back after a wait", async () => {
  const { server, hook } = await start();
  await begin(server, hook);
  await server.post("/api/revocations", { user: "ada" });
  await publish(server, 2, 3);
  await end(server, hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["closing revoked"]);
});

/** Cuts the page's network, as a cable that is pulled: the browser is told, its connections are not. */
async function cut({ page, proxy }: Hook): Promise<{ back(): Promise<void> }> {
  // Chromium knows itself offline, and sends its questions across origins all the same. They may pass.
  proxy.hold(/^GET/);
  await page.context().setOffline(true);
  return {
    async back() {
      proxy.release();
      await page.context().setOffline(false);
    },
  };
}

/** Stops the pages' processes as a laptop does whose lid is closed, but for the clock. Returns the way to wake them. */
async function putToSleep(): Promise<() => void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const pages = processInfo.filter(({ type }) => type === "renderer");
  const signal = (signal: NodeJS.Signals) => {
    for (const { id } of pages) process.kill(id, signal);
  };
  onTestFinished(() => signal("SIGCONT"));
  signal("SIGSTOP");
  return () => signal("SIGCONT");
}
