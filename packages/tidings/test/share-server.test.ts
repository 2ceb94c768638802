// Clients that share a connection to the real server over Node's own BroadcastChannel. Node has no locks in
// every version, so those are the tests' own.

import { expect, onTestFinished, test } from "vitest";
import { createTidings } from "../src/client.ts";
import type { Tidings } from "../src/types.ts";
import { startServer, tokenFor } from "./server.ts";
import { createLocks } from "./tabs.ts";

const CLIENTS = 5;
const eventually = { timeout: 30_000, interval: 20 };

test("clients hand the one connection on as they are closed, and each sees every event once", async () => {
  const server = await startServer();
  const locks = createLocks((task) => void setImmediate(task));
  const streams = new Set<number>();
  let tokens = 0;

  function open(number: number): { client: Tidings; seen: unknown[] } {
    const seen: unknown[] = [];
    const client = createTidings({
      url: server.url,
      topics: ["a"],
      user: "42",
      shareTabs: true,
      token: () => {
        tokens += 1;
        return tokenFor("42", ["a"]);
      },
      fetch: (input, init) => {
        if (!String(input).includes("/api/sse")) return fetch(input, init);
        streams.add(number);
        init?.signal?.addEventListener("abort", () => streams.delete(number));
        return fetch(input, init);
      },
      environment: {
        locks: locks.of(
          (task) => task(),
          () => undefined,
        ),
      },
      onGap: ({ reason }) => void seen.push(reason),
    });
    onTestFinished(() => client.close());
    client.onAny(({ data }) => void seen.push(data));
    return { client, seen };
  }

  const clients = Array.from({ length: CLIENTS }, (_, number) => open(number));
  for (const { client } of clients) {
    await expect.poll(() => client.getSnapshot().status, eventually).toBe("open");
  }
  expect([streams.size, tokens]).toEqual([1, 1]);

  const left = new Map(clients.entries());
  const published: number[] = [];
  while (left.size > 0) {
    const events = Array.from({ length: 50 }, (_, index) => published.length + index);
    published.push(...events);
    await server.publish(...events.map((data) => ({ topic: "a", data })));
    if (left.size === 1) break;
    const [leading = -1] = streams;
    left.get(leading)?.client.close();
    left.delete(leading);
    await expect.poll(() => [...streams].some((number) => left.has(number)), eventually).toBe(true);
  }
  for (const { seen } of left.values()) {
    await expect.poll(() => seen.length, eventually).toBe(published.length);
    expect(seen).toEqual(published);
  }
  for (const { seen } of clients) expect(seen).toEqual(published.slice(0, seen.length));
  expect([streams.size, tokens]).toEqual([1, CLIENTS]);
});
