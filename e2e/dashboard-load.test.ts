// The dashboard under load: 50 streams and 500 events a second for some seconds, or for TIDINGS_TEST_DASHBOARD_SECS.
// Its numbers are right, no task of its page is long, and it does not grow.

import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { Sample } from "../dashboard/src/answers.ts";
import { rate } from "../dashboard/src/format.ts";
import { eventually, figure, goTo, openDashboard } from "./dashboard-page.ts";
import { listen, publishMany } from "./dashboard-traffic.ts";
import { launchChromium } from "./reader.ts";
import { API_KEY, type Server, startServer } from "./server.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

const CONNECTIONS = 50;
const LISTENERS_PER_TOPIC = 5;
const EVENTS_PER_SEC = 500;
const BATCHES_PER_SEC = 10;
const LOAD_SECS = Number(process.env.TIDINGS_TEST_DASHBOARD_SECS ?? 5);

test("shows the right numbers under load, without a long task and without growing", {
  timeout: 60_000 + LOAD_SECS * 4_000,
}, async () => {
  const server = await startServer();
  const topics = Array.from({ length: CONNECTIONS / LISTENERS_PER_TOPIC }, (_, n) => `load/${n}`);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, n) =>
      listen(server, `user-${n % 20}`, [topics[n % topics.length] ?? ""]),
    ),
  );
  const { page, wrongs } = await openDashboard(browser, server.url);
  // The fifty, and this page's own.
  await expect.poll(() => figure(page, "Connections", "active"), eventually).toBe(51);

  const load = startLoad(server, topics);
  const shown = await followRate(page);
  await expect.poll(async () => (await shown()).length, eventually).toBeGreaterThan(2);
  await page.getByRole("region", { name: "Busiest users" }).getByText("user-7").waitFor();
  await takePictures(page, "overview");
  const devtools = await page.context().newCDPSession(page);
  await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
  await doesNotGrow(LOAD_SECS);
  const rates = await shown();
  await goTo(page, "Tail");
  // Until all that a tail keeps is there, it grows.
  await expect
    .poll(() => page.getByText(/kept/).textContent(), eventually)
    .toMatch(/^2,000 kept, 200 shown/);
  await doesNotGrow(LOAD_SECS);
  const tasks = longTasks(await browser.stopTracing());
  await takePictures(page, "tail");
  const { published, secs } = await load.stop();
  await goTo(page, "Overview");

  const total = () => figure(page, "Events published", "since the start");
  await expect.poll(total, eventually).toBe(published);
  const delivered = () => figure(page, "Events delivered", "since the start");
  await expect.poll(delivered, eventually).toBeGreaterThanOrEqual(published * LISTENERS_PER_TOPIC);
  // Beside the fifty there were this page's numbers and its tail.
  const mine = published + 2 * (secs + 30);
  expect(await delivered()).toBeLessThanOrEqual(published * LISTENERS_PER_TOPIC + mine);
  await expect.poll(() => figure(page, "Events published", "now"), eventually).toBe(0);
  // What was shown each second is what the server measured, and all of that together is what was published.
  const samples = await samplesOf(server);
  const measured = samples.map(({ events }) => rate(events.publishedPerSec));
  expect(rates.filter((text) => !measured.includes(text))).toEqual([]);
  const sum = samples.reduce((total, { timestamp, events }, index) => {
    const ms = timestamp - (samples[index - 1]?.timestamp ?? timestamp);
    return total + (events.publishedPerSec * ms) / 1000;
  }, 0);
  expect(Math.abs(sum / published - 1), `${sum} of ${published}`).toBeLessThan(0.05);
  expect(await figure(page, "Errors", "since the start")).toBe(0);
  expect(await figure(page, "Gaps", "since the start")).toBe(0);

  // By the processor's clock, so that a busy machine does not count as a busy page.
  expect(tasks.filter(({ cpuMs }) => cpuMs > 100)).toEqual([]);
  expect(wrongs).toEqual([]);

  async function doesNotGrow(secs: number) {
    const before = await weigh();
    await page.evaluate((ms) => new Promise((resolve) => setTimeout(resolve, ms)), secs * 1000);
    // Garbage is not always found at once. What is held on to is never found.
    const over = async () => {
      const { heapBytes, nodes } = await weigh();
      return {
        heapBytes: Math.max(0, heapBytes - before.heapBytes * 1.2 - 1_000_000),
        nodes: Math.max(0, nodes - before.nodes * 1.2 - 200),
      };
    };
    await expect.poll(over, eventually).toEqual({ heapBytes: 0, nodes: 0 });
  }

  async function weigh() {
    await devtools.send("HeapProfiler.collectGarbage");
    const { usedSize } = await devtools.send("Runtime.getHeapUsage");
    const { nodes } = await devtools.send("Memory.getDOMCounters");
    return { heapBytes: usedSize, nodes };
  }
});

/** From now on all that the page shows as the rate of what is published, one after the other. */
async function followRate(page: Page): Promise<() => Promise<string[]>> {
  const panel = page.getByRole("region", { name: "Events published" });
  const followed = await panel
    .locator(".figure dd")
    .first()
    .evaluateHandle((figure) => {
      const texts: string[] = [];
      const follow = () => texts.push(figure.firstChild?.textContent ?? "");
      const what = { characterData: true, childList: true, subtree: true };
      new MutationObserver(follow).observe(figure, what);
      return texts;
    });
  return () => followed.jsonValue();
}

/** What the server measured in each of the last seconds. */
async function samplesOf(server: Server): Promise<Sample[]> {
  const answer = await fetch(`${server.url}/api/admin/stats?secs=600`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
  });
  return ((await answer.json()) as { samples: Sample[] }).samples;
}

/** Publishes so many events a second until told to stop; then it says how many they were. */
function startLoad(server: Server, topics: string[]) {
  const begun = Date.now();
  const size = EVENTS_PER_SEC / BATCHES_PER_SEC;
  let published = 0;
  let going = true;
  const run = async () => {
    while (going) {
      const due = ((Date.now() - begun) / 1000) * EVENTS_PER_SEC;
      if (published + size > due) {
        await new Promise((resolve) => setTimeout(resolve, 1000 / BATCHES_PER_SEC / 4));
        continue;
      }
      const event = (n: number) => ({
        topic: topics[n % topics.length],
        type: ["shipped", "price.changed", "note"][n % 3],
        data: { number: published + n, carrier: "post", lines: [{ sku: "a-1", count: 2 }] },
      });
      await publishMany(
        server,
        Array.from({ length: size }, (_, n) => event(n)),
      );
      published += size;
    }
  };
  const running = run();
  onTestFinished(() => {
    going = false;
  });
  return {
    async stop() {
      going = false;
      await running;
      return { published, secs: (Date.now() - begun) / 1000 };
    },
  };
}

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args?: { name?: string };
}

/** The longest tasks of the page's own thread, with the time that the processor spent on each. */
function longTasks(trace: Buffer): { name: string; cpuMs: number }[] {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const mains = traceEvents
    .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
    .map(({ pid, tid }) => `${pid} ${tid}`);
  const tasks = traceEvents.filter(
    ({ ph, tdur, pid, tid }) => ph === "X" && tdur !== undefined && mains.includes(`${pid} ${tid}`),
  );
  expect(tasks.length, "tasks in the trace").toBeGreaterThan(100);
  return tasks
    .map(({ name, tdur = 0 }) => ({ name, cpuMs: tdur / 1000 }))
    .sort((a, b) => b.cpuMs - a.cpuMs)
    .slice(0, 5);
}

/** Leaves pictures to look at. */
async function takePictures(page: Page, name: string): Promise<void> {
  const folder = fileURLToPath(new URL("screenshots", import.meta.url));
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [380, 1600]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 1000 });
      const fits = () =>
        page
          .locator(".chart canvas")
          .evaluateAll((charts) =>
            charts.every(
              (chart) => chart.clientWidth <= (chart.closest(".chart")?.clientWidth ?? 0),
            ),
          );
      await expect.poll(fits, eventually).toBe(true);
      await page.screenshot({ path: `${folder}/dashboard-${name}-${width}-${colorScheme}.png` });
    }
  }
}
