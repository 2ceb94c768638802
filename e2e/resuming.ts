// What every EventSource must be able to rely on, whoever wrote it. These clients know the standard and
// nothing of Tidings: the hub must bring them through lost connections, crashes and silence by the
// standard's means alone.

import { expect, test } from "vitest";
import { lastEventIdOf, startProxy } from "./proxy.ts";
import { eventsOf, type Reader, saidBy } from "./reader.ts";
import { startServer } from "./server.ts";
import { streamUrl } from "./token.ts";

interface Connected {
  resumed: boolean;
  user: string;
}

/** A reconnect takes up to 4 seconds, and the machine may be busy. */
const eventually = { timeout: 20_000, interval: 20 };

export interface Client {
  /** Opens the client's EventSource. Asked for in each test, when what it needs has been started. */
  reader: () => Reader;
  /** The origin of the page that it runs in, where there is one. */
  origins: () => string[];
  /** Whether it keeps an id that comes without data, as the standard asks. */
  keepsBareIds: boolean;
}

/** Declares the tests for one client. */
export function testResuming({ reader, origins, keepsBareIds }: Client): void {
  test("loses and repeats nothing when connections are cut while events are published", async () => {
    const server = await startServer({ origins: origins() });
    const proxy = await startProxy(server.port);
    const received = await reader()(streamUrl(proxy.url, "orders/1"));
    await expect.poll(() => saidBy(received, "tidings.connected").length, eventually).toBe(1);

    const published: string[] = [];
    const publishSome = async (count: number) => {
      for (let i = 0; i < count; i += 1) {
        const data = `{"number":${published.length}}`;
        await server.publish({ topic: "orders/1", type: "notification", data: JSON.parse(data) });
        published.push(data);
      }
    };
    // The cut falls into the middle of an event, at another byte of it each time; half of each
    // round's events are published while nobody listens.
    for (const bytes of [1, 301, 777]) {
      proxy.cutAfter(bytes);
      await publishSome(50);
      await expect.poll(() => eventsOf(received).length, eventually).toBe(published.length);
    }
    await publishSome(50);
    await expect.poll(() => eventsOf(received).length, eventually).toBe(published.length);

    expect(published.length).toBe(200);
    expect(eventsOf(received).map(({ data }) => data)).toEqual(published);
    expect(new Set(eventsOf(received).map(({ id }) => id)).size).toBe(200);
    const resumed = saidBy<Connected>(received, "tidings.connected").map((said) => said.resumed);
    expect(resumed).toEqual([false, true, true, true]);
    expect(saidBy(received, "tidings.gap")).toEqual([]);
  });

  test("is told of the gap when the server was killed, and goes on with the new server", async () => {
    const first = await startServer({ origins: origins() });
    const received = await reader()(streamUrl(first.url, "orders/*"));
    await expect.poll(() => saidBy(received, "tidings.connected").length, eventually).toBe(1);
    await first.publish({ topic: "orders/1", text: "before" });
    await expect.poll(() => eventsOf(received).length, eventually).toBe(1);

    await first.kill();
    const second = await startServer({ port: first.port, origins: origins() });
    await expect.poll(() => saidBy(received, "tidings.gap").length, eventually).toBe(1);
    await second.publish({ topic: "orders/2", text: "after" });
    await second.publish({ topic: "orders/3", text: "last" });
    await expect.poll(() => eventsOf(received).length, eventually).toBe(3);

    expect(received.map(({ type }) => type)).toEqual([
      "tidings.connected",
      "message",
      "tidings.connected",
      "tidings.gap",
      "message",
      "message",
    ]);
    expect(eventsOf(received).map(({ data }) => data)).toEqual(["before", "after", "last"]);
    expect(saidBy(received, "tidings.gap")).toMatchObject([{ reason: "epoch" }]);
    expect(saidBy(received, "tidings.connected")).toMatchObject([
      { resumed: false, user: "ada" },
      { resumed: false, user: "ada" },
    ]);
  });

  test("is told that the server drains, and finds its way back by itself", async () => {
    const first = await startServer({ origins: origins() });
    const received = await reader()(streamUrl(first.url, "orders/1"));
    await expect.poll(() => saidBy(received, "tidings.connected").length, eventually).toBe(1);

    expect(await first.drain()).toBe(0);
    await expect.poll(() => saidBy(received, "tidings.closing").length, eventually).toBe(1);
    expect(saidBy(received, "tidings.closing")).toMatchObject([
      { reason: "drain", retryMs: expect.any(Number) },
    ]);
    await startServer({ port: first.port, origins: origins() });
    await expect.poll(() => saidBy(received, "tidings.connected").length, eventually).toBe(2);
  });

  test("reconnects from where a silent stream has got to", async () => {
    const server = await startServer({ origins: origins() });
    const proxy = await startProxy(server.port);
    const received = await reader()(streamUrl(proxy.url, "orders/1"));
    await expect.poll(() => saidBy(received, "tidings.connected").length, eventually).toBe(1);
    await server.publish({ topic: "orders/1", text: "mine" });
    await expect.poll(() => eventsOf(received).length, eventually).toBe(1);

    await server.publish({ topic: "orders/2", text: "not mine" });
    const newest = await server.publish({ topic: "orders/2", text: "not mine either" });
    // Nothing of orders/2 is sent, so only the heartbeat can bring this id.
    await expect.poll(() => proxy.downstream(), eventually).toContain(`id: ${newest}\n\n`);
    proxy.finish();
    await expect.poll(() => proxy.heads.length, eventually).toBe(2);
    // One that forgets such ids asks from its last event on, and there is nothing of orders/1 between.
    const expected = keepsBareIds ? newest : eventsOf(received)[0]?.id;
    expect(lastEventIdOf(proxy.heads[1])).toBe(expected);

    await server.publish({ topic: "orders/1", text: "mine again" });
    await expect.poll(() => eventsOf(received).length, eventually).toBe(2);
    expect(eventsOf(received).map(({ data }) => data)).toEqual(["mine", "mine again"]);
    expect(saidBy(received, "tidings.connected")).toMatchObject([
      { resumed: false },
      { resumed: true },
    ]);
  });
}
