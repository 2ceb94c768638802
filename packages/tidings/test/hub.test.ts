// The client against the real server: restarts, drains, tokens that run out, users who are revoked.

import { expect, onTestFinished, test } from "vitest";
import { createTidings } from "../src/client.ts";
import type { State, Tidings, TidingsOptions } from "../src/types.ts";
import { type Server, startServer, tokenFor } from "./server.ts";

const eventually = { timeout: 20_000, interval: 10 };

function listen(server: Server, options: Partial<TidingsOptions> = {}) {
  const seen: unknown[] = [];
  const states: State[] = [];
  const client: Tidings = createTidings({
    url: server.url,
    topics: ["orders/*"],
    token: () => tokenFor("ada", ["orders/*"]),
    onGap: ({ reason, topics }) => seen.push(`gap ${reason} ${topics}`),
    ...options,
  });
  onTestFinished(() => client.close());
  client.subscribe(() => states.push(client.getSnapshot()));
  client.onAny(({ type, data, topics }) => seen.push([type, data, topics.join()]));
  return {
    client,
    seen,
    states,
    opened: () => states.filter(({ status }) => status === "open").length,
  };
}

/** Publishes these to `orders/1`, in one request. */
const publish = (server: Server, ...data: unknown[]) =>
  server.publish(...data.map((one) => ({ topic: "orders/1", type: "t", data: one })));

test.each([["sse"], ["long-poll"], ["poll"]] as const)(
  "over %s events arrive as they were published",
  async (transport) => {
    const server = await startServer();
    const { client, seen } = listen(server, { transports: [transport], rewind: "all" });
    await server.publish(
      { topic: "orders/1", type: "shipped", data: { carrier: "post", on: [1, null] } },
      { topics: ["orders/2", "other"], text: "two\nlines" },
      { topic: "other", data: "not ours" },
      { topic: "orders/3", text: "17" },
    );
    await expect
      .poll(() => seen, eventually)
      .toEqual([
        ["shipped", { carrier: "post", on: [1, null] }, "orders/1"],
        ["message", "two\nlines", "orders/2,other"],
        ["message", 17, "orders/3"],
      ]);
    expect(client.getSnapshot()).toMatchObject({
      status: transport === "sse" ? "open" : "polling",
      user: "ada",
    });
  },
);

test("a server that was killed and started anew: a gap, then what follows", async () => {
  const first = await startServer();
  const { seen, opened, states } = listen(first);
  await expect.poll(opened, eventually).toBe(1);
  await publish(first, 1, 2);
  await expect.poll(() => seen.length, eventually).toBe(2);
  await first.kill();
  await expect.poll(() => states.at(-1)?.status, eventually).toBe("retrying");
  const second = await startServer(first.port);
  await publish(second, 3);
  await expect.poll(() => seen.length, eventually).toBe(4);
  expect(seen.slice(2)).toEqual(["gap epoch orders/*", ["t", 3, "orders/1"]]);
});

test("a server that drains says when to come back, and that is when it is asked again", async () => {
  const server = await startServer();
  const asked: number[] = [];
  const { states, opened } = listen(server, {
    fetch: (input, init) => {
      asked.push(Date.now());
      return fetch(input, init);
    },
  });
  await expect.poll(opened, eventually).toBe(1);
  await server.drain();
  await expect.poll(() => states.at(-1)?.status, eventually).toBe("retrying");
  const retrying = states.find((state) => state.status === "retrying");
  expect(retrying).toMatchObject({ error: { kind: "closing", code: "drain" } });
  await startServer(server.port);
  await expect.poll(opened, eventually).toBe(2);
  const due = retrying?.status === "retrying" ? retrying.retryAt : 0;
  expect((asked[1] ?? 0) - due).toBeGreaterThanOrEqual(-5);
  expect((asked[1] ?? 0) - due).toBeLessThan(500);
});

test("a token whose time runs out in mid-stream is replaced before the stream ends", async () => {
  const server = await startServer();
  let tokens = 0;
  const { seen, opened, states } = listen(server, {
    token: () => {
      tokens += 1;
      const until = Math.floor(Date.now() / 1_000) + (tokens === 1 ? 3 : 600);
      return tokenFor("ada", ["orders/*"], { until });
    },
  });
  await expect.poll(opened, eventually).toBe(1);
  for (let i = 0; tokens < 2 || i < 40; i += 1) {
    await publish(server, i);
    await new Promise((resolve) => setTimeout(resolve, 25));
    expect(i).toBeLessThan(1_000);
  }
  await publish(server, "last");
  await expect.poll(() => seen.at(-1), eventually).toEqual(["t", "last", "orders/1"]);
  const numbers = seen.slice(0, -1).map((event) => (event as unknown[])[1]);
  expect(numbers).toEqual(numbers.map((_, i) => i));
  // Nobody noticed.
  expect(states.map(({ status }) => status)).toEqual(["connecting", "open"]);
});

test("a user who is revoked comes back with a fresh token, and ends without one", async () => {
  const server = await startServer();
  const renewable = listen(server);
  const fixed = listen(server, { token: tokenFor("ada", ["orders/*"]) });
  await expect.poll(() => renewable.opened() + fixed.opened(), eventually).toBe(2);
  await server.post("/api/revocations", { user: "ada" });
  await expect
    .poll(() => fixed.states.at(-1), eventually)
    .toMatchObject({
      status: "closed",
      error: { status: 401, code: "revoked" },
    });
  await expect.poll(renewable.opened, eventually).toBe(2);
  await publish(server, "back");
  await expect.poll(() => renewable.seen, eventually).toEqual([["t", "back", "orders/1"]]);
  expect(fixed.seen).toEqual([]);
});

test("a topic outside the grant ends the client with the server's words", async () => {
  const server = await startServer();
  const { states } = listen(server, { topics: ["secrets"] });
  await expect
    .poll(() => states.at(-1), eventually)
    .toMatchObject({
      status: "closed",
      error: {
        kind: "status",
        status: 403,
        code: "forbidden-topic",
        message: expect.stringContaining("secrets"),
      },
    });
});

test("an iteration sees what is published, and lets go of the connection with its signal", async () => {
  const server = await startServer();
  const controller = new AbortController();
  const client = createTidings({
    url: server.url,
    topics: ["orders/*"],
    token: () => tokenFor("ada", ["orders/*"]),
    rewind: "all",
    signal: controller.signal,
  });
  await publish(server, 1, 2, 3);
  const seen: unknown[] = [];
  for await (const { data } of client) {
    seen.push(data);
    if (data === 3) controller.abort();
  }
  expect([seen, client.getSnapshot().status]).toEqual([[1, 2, 3], "closed"]);
});
