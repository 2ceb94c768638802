// The promise of the package, through the worst of networks: every event once, in order, at the handler.

import { expect, onTestFinished, test } from "vitest";
import { createTidings } from "../src/client.ts";
import type { Gap, TidingsOptions } from "../src/types.ts";
import { randomFrom, startHostileProxy } from "./hostile-proxy.ts";
import { startServer, tokenFor } from "./server.ts";

const EVENTS = 10_000;
const BATCH = 50;
/** A thousand take a minute. */
const FAULTS_MIN = Number(process.env.TIDINGS_TEST_FAULTS ?? 300);
/** A batch waits so long for its share of the faults, or for none. */
const FAULT_MS_MAX = 400;

/** The protocol's waits, a hundredth of them: the rules are the same, and the test is short. */
const TIMING = {
  backoffMinMs: 5,
  backoffMaxMs: 150,
  retryMs: 20,
  stableMs: 300,
  connectMs: 250,
  answerMs: 250,
  waitSecs: 1,
  pollIntervalMs: 20,
};

const seed = Number(process.env.TIDINGS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));

test(`10,000 events pass ${FAULTS_MIN} faults, each once and in order (TIDINGS_TEST_SEED=${seed} repeats it)`, async () => {
  const random = randomFrom(seed);
  const server = await startServer(0, { TIDINGS_LOG__EVENTS_PER_TOPIC_MAX: String(EVENTS * 2) });
  const proxy = await startHostileProxy(server.port, random);
  const gaps: Gap[] = [];

  function read(options: Partial<TidingsOptions>, wait?: () => Promise<void> | undefined) {
    const seen: number[] = [];
    const states: string[] = [];
    const client = createTidings({
      url: proxy.url,
      topics: ["numbers"],
      token: () => tokenFor("ada", ["numbers"]),
      onGap: (gap) => gaps.push(gap),
      timing: TIMING,
      ...options,
    });
    onTestFinished(() => client.close());
    client.subscribe(() => states.push(client.getSnapshot().status));
    client.on("message", ({ data }) => {
      seen.push(data as number);
      return wait?.();
    });
    return { client, seen, states };
  }

  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  let handled = 0;
  const readers = [
    read({}),
    read({}, () => {
      handled += 1;
      return handled % 10 ? undefined : turn();
    }),
    read({ transports: ["sse"] }),
    read({ transports: ["long-poll", "poll"] }),
  ];

  for (let from = 0; from < EVENTS; from += BATCH) {
    const numbers = Array.from({ length: BATCH }, (_, i) => ({ topic: "numbers", data: from + i }));
    await server.publish(...numbers);
    const wanted = Math.ceil(((from + BATCH) / EVENTS) * FAULTS_MIN);
    const deadline = performance.now() + FAULT_MS_MAX;
    while (proxy.faults() < wanted && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  await expect.poll(() => proxy.faults(), { timeout: 30_000 }).toBeGreaterThanOrEqual(FAULTS_MIN);
  // The faults go on until one of those who may poll has done so.
  await expect
    .poll(() => readers.slice(0, 2).flatMap(({ states }) => states), { timeout: 30_000 })
    .toContain("polling");
  const faults = Object.fromEntries(proxy.done);
  proxy.relent();
  const wanted = Array.from({ length: EVENTS }, (_, i) => i);
  for (const { seen } of readers) {
    await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(EVENTS);
  }
  for (const { seen } of readers) expect(seen).toEqual(wanted);
  expect(gaps).toEqual([]);
  expect(proxy.faults(), JSON.stringify(faults)).toBeGreaterThanOrEqual(FAULTS_MIN);
}, 90_000);
