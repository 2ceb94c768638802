// What `useRealTimeUpdates` says is so, in Chromium and against the real server, while servers, networks, pages
// and proxies fail: the phases that each row went through, and every event once.

import { expect, onTestFinished, test } from "vitest";
import { begin, end, eventually, type Hook, prepareHooks, publish, STREAMS } from "./hook.ts";
import { startServer } from "./server.ts";

const { browser, origin, open } = prepareHooks();

test.each([
  ["killed", /^(network|ended)$/],
  ["drained", /^closing drain$/],
] as const)("a server that is %s and started anew: a gap, then what follows", async (how, why) => {
  const hook = await open();
  const { server } = hook;
  await hook.until("sse");
  expect(await hook.lastUpdateMs()).toBeUndefined();
  const beganMs = Date.now();
  await publish(server, 1, 2);
  await hook.sees(1, 2);
  await expect.poll(hook.lastUpdateMs, eventually).toBeGreaterThanOrEqual(beganMs);
  await (how === "killed" ? server.kill() : server.drain());
  await hook.until("waiting");
  const second = await startServer({ port: server.port, origins: [origin()] });
  await hook.until("sse");
  await publish(second, 3);
  await hook.sees(1, 2, "gap epoch", 3);
  expect(await hook.phases()).toMatch(/^loading → sse → waiting( → polling)? → sse$/);
  expect((await hook.errors())[0]).toMatch(why);
});

test("a network that was gone for a moment: back before anybody noticed", async () => {
  // No silence could be noticed in the time that the test gives.
  const hook = await open({ settings: { TIDINGS_STREAMS__HEARTBEAT_SECS: "15" } });
  await begin(hook);
  const comeBack = await cut(hook);
  await publish(hook.server, 2, 3);
  await expect.poll(hook.proxy.held, eventually).toBeGreaterThan(0);
  await comeBack();
  await hook.sees(1, 2, 3);
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse");
});

test("a network that was gone for longer: back at once, whatever was planned", async () => {
  const hook = await open({ transports: ["sse"], timing: { backoffMaxMs: 30_000 } });
  await begin(hook);
  const comeBack = await cut(hook);
  await publish(hook.server, 2, 3);
  let plannedAtMs = 0;
  const waitMs = async () => {
    const { error, retryAtMs = 0 } = (await hook.last()) ?? {};
    plannedAtMs = error?.kind === "network" ? retryAtMs : 0;
    return plannedAtMs - Date.now();
  };
  await expect.poll(waitMs, eventually).toBeGreaterThan(3_000);
  await comeBack();
  await hook.until("sse");
  expect((await hook.last())?.atMs).toBeLessThan(plannedAtMs);
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["silent", "network"]);
});

test("a page that was asleep while its connection died: silence, and nothing lost", async () => {
  const hook = await open();
  await begin(hook);
  hook.proxy.hold(/./);
  const wake = await putToSleep();
  await publish(hook.server, 2, 3);
  // What is held is the two events, and then a heartbeat a second.
  await expect.poll(hook.proxy.held, eventually).toBeGreaterThan(7);
  hook.proxy.release();
  wake();
  await hook.sees(1, 2, 3);
  await end(hook);
  // The next stream must prove itself, so that polls may speak first.
  expect(await hook.phases()).toMatch(/^loading → sse → waiting( → sse)?( → polling)? → sse$/);
  expect(await hook.errors()).toEqual(["silent"]);
});

test("a page that is left, and come back to by the back button: it goes on", async () => {
  const hook = await open();
  await begin(hook);
  await hook.page.goto(`${origin()}/elsewhere`);
  await publish(hook.server, 2, 3);
  // It is kept, and not loaded again.
  await hook.page.goBack({ waitUntil: "commit" });
  await hook.sees(1, 2, 3);
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse → paused → loading → sse");
});

test("a stream that is held in the middle: polls, and the stream when it is let go", async () => {
  const hook = await open({ timing: { connectMs: 3_000 } });
  await begin(hook);
  hook.proxy.hold(STREAMS);
  await hook.until("polling");
  await publish(hook.server, 2, 3);
  await hook.sees(1, 2, 3);
  hook.proxy.release();
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → polling → sse");
  expect(await hook.errors()).toEqual(["silent"]);
});

test("a stream that is held from the beginning: polls, and the stream when it is let go", async () => {
  const hook = await open({ timing: { connectMs: 3_000 }, hold: STREAMS });
  await hook.until("polling");
  await publish(hook.server, 1, 2, 3);
  await hook.sees(1, 2, 3);
  hook.proxy.release();
  await end(hook);
  expect(await hook.phases()).toBe("loading → waiting → polling → sse");
  expect(await hook.errors()).toEqual(["silent"]);
});

/** Cuts the page's network as if a cable were pulled: the browser is told, its connections are not. */
async function cut({ page, proxy }: Hook): Promise<() => Promise<void>> {
  // Chromium's emulation fails every request but those that ask for permission across origins. They may pass.
  proxy.hold(/^GET/);
  await page.context().setOffline(true);
  return async () => {
    proxy.release();
    await page.context().setOffline(false);
  };
}

/** Stops the pages' processes as when a laptop is closed: no timer fires, and the clock goes on. */
async function putToSleep(): Promise<() => void> {
  const session = await browser().newBrowserCDPSession();
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
