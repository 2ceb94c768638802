// The promise of the package where it is made: in Chromium, through the worst of networks. Every event once and in
// order at the page's handlers, without a gap.

import type { Browser } from "playwright-core";
import type { TidingsOptions } from "tidings";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { randomFrom, startHostileProxy } from "../packages/tidings/test/hostile-proxy.ts";
import type { Manner } from "./package-page.ts";
import { launchChromium, type Site, startSite } from "./reader.ts";
import { startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

const EVENTS = 10_000;
const BATCH = 50;
const FAULTS_MIN = Number(process.env.TIDINGS_TEST_FAULTS ?? 1_000);

/** The protocol's waits, a fiftieth of them: the rules are the same, and the test is short. */
const TIMING = {
  backoffMinMs: 5,
  backoffMaxMs: 50,
  retryMs: 20,
  stableMs: 300,
  connectMs: 500,
  answerMs: 500,
  waitSecs: 1,
  pollIntervalMs: 20,
};

interface Plan {
  options?: Partial<Omit<TidingsOptions, "validate">>;
  manner?: Manner;
  /** Its page is of another origin than the events. */
  across?: boolean;
}

const PLANS: Plan[] = [
  {},
  { manner: "busy" },
  { options: { transports: ["sse"] } },
  { options: { transports: ["long-poll"] } },
  { across: true },
];

const seed = Number(process.env.TIDINGS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));

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

test(`10,000 events pass ${FAULTS_MIN} faults, each once and in order (TIDINGS_TEST_SEED=${seed} repeats it)`, async () => {
  const server = await startServer({
    origins: [site.origin],
    settings: {
      TIDINGS_LOG__EVENTS_PER_TOPIC_MAX: String(EVENTS * 2),
      TIDINGS_LIMITS__CONNECTIONS_PER_USER: "0",
      TIDINGS_LIMITS__CONNECTIONS_PER_ADDRESS: "0",
      TIDINGS_LIMITS__POLLING__LIMIT: "0",
    },
  });
  const readers = await Promise.all(PLANS.map((plan, i) => read(plan, seed + i, server.port)));
  const faults = () => readers.reduce((sum, { proxy }) => sum + proxy.faults(), 0);

  for (let from = 0; from < EVENTS; from += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, i) => ({ topic: "numbers", data: from + i }));
    const { results } = (await server.post("/api/events", batch)) as { results: object[] };
    expect(results.filter((result) => "error" in result)).toEqual([]);
    const wanted = Math.ceil(((from + BATCH) / EVENTS) * FAULTS_MIN);
    await expect.poll(faults, { timeout: 30_000, interval: 5 }).toBeGreaterThanOrEqual(wanted);
  }
  for (const { proxy } of readers) proxy.relent();

  for (const { told } of readers) {
    await expect
      .poll(() => told.evaluate(({ seen }) => seen.length), { timeout: 30_000 })
      .toBeGreaterThanOrEqual(EVENTS);
  }
  const numbers = Array.from({ length: EVENTS }, (_, i) => i);
  for (const { plan, told, errors } of readers) {
    const { seen, gaps } = await told.jsonValue();
    expect([seen, gaps, errors], JSON.stringify(plan)).toEqual([numbers, [], []]);
  }
}, 180_000);

/** Listens in a page of its own, through a proxy of its own: Chromium opens six connections to an address. */
async function read(plan: Plan, seed: number, port: number) {
  const { options, manner = "prompt", across } = plan;
  const proxy = await startHostileProxy(port, randomFrom(seed), {
    peaceMsMax: 250,
    // Across origins Chromium asks for permission first. A question that is never answered keeps one of its six
    // connections until the other side ends it, though the page has long given up the request.
    weights: { redirect: 2, ...(across ? { mute: 0, "half-open": 0 } : { mute: 1 }) },
  });
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  const errors: Error[] = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.exposeFunction("getToken", () => tokenFor("ada", ["numbers"]));
  if (across) await page.goto(site.origin);
  else {
    await page.route(proxy.url, (route) =>
      route.fulfill({ contentType: "text/html; charset=utf-8", body: inject("packagePage") }),
    );
    await page.goto(proxy.url);
    await page.unrouteAll();
  }
  const told = await page.evaluateHandle(
    ([options, manner]) => window.page.listen(options, manner),
    [{ url: proxy.url, topics: ["numbers"], timing: TIMING, ...options }, manner] as const,
  );
  return { plan, proxy, told, errors };
}
