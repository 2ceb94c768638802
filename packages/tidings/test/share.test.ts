// Tabs that share a connection: one stream for all, and in each of them every event once and in order,
// whatever tabs close, crash, freeze or are slow.

import { describe, expect, test } from "vitest";
import { createTidings } from "../src/client.ts";
import type { TidingsOptions } from "../src/types.ts";
import { createScene, type Scene, type Shown } from "./scene.ts";

async function openTabs(scene: Scene, count: number): Promise<Shown[]> {
  const tabs = Array.from({ length: count }, () => scene.open());
  await scene.advance(100);
  expect(scene.statuses()).toEqual(Array(count).fill("open"));
  return tabs;
}

function leaderOf(scene: Scene): Shown {
  const leader = scene.leader();
  if (!leader) throw new Error("nobody leads");
  return leader;
}

/** Every number from the first to the last, in order. */
const span = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe("tabs that share", () => {
  test("have one stream, one token and the same state", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 10);
    scene.publish(20);
    await scene.advance(100);
    for (const { seen } of tabs) expect(seen).toEqual(span(1, 20));
    expect(scene.server.asked).toHaveLength(1);
    expect(tabs.map(({ tokens }) => tokens).sort()).toEqual([...Array(9).fill(0), 1]);
    expect(new Set(tabs.map(({ client }) => client.cursor))).toEqual(new Set(["k7q2m9x0-20"]));
  });

  const ends: [string, (shown: Shown) => void][] = [
    ["closed", ({ client }) => client.close()],
    ["crashed", ({ tab }) => tab.crash()],
  ];
  test.each(ends)("go on where the leader was when it is %s", async (_, end) => {
    const scene = createScene(3);
    const tabs = await openTabs(scene, 5);
    for (let count = tabs.length; count > 1; count -= 1) {
      scene.publish(10);
      // Some of it is under way.
      await scene.advance(4);
      end(leaderOf(scene));
      scene.publish(10);
      await scene.advance(100);
      expect(scene.server.streams.size).toBe(1);
    }
    expect(leaderOf(scene).seen).toEqual(span(1, 80));
    // One request for each leader: what some had not heard, they had from another tab.
    expect(scene.server.asked).toHaveLength(5);
  });

  test("take the lock from a leader that does not answer, which follows when it is back", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    const leader = leaderOf(scene);
    leader.tab.freeze();
    scene.publish(5);
    await scene.advance(40_000);
    for (const { seen, tab } of tabs) expect(seen).toEqual(tab.frozen ? [] : span(1, 5));
    expect(scene.server.streams.size).toBe(2);
    leader.tab.thaw();
    scene.publish(5);
    await scene.advance(100);
    for (const { seen } of tabs) expect(seen).toEqual(span(1, 10));
    expect(scene.server.streams.size).toBe(1);
    expect(leaderOf(scene)).not.toBe(leader);
    expect(scene.statuses()).toEqual(Array(3).fill("open"));
  });

  test("are not misled by a newcomer that wakes up with a lock which was taken from it", async () => {
    const scene = createScene();
    const first = scene.open();
    await scene.advance(100);
    const sleeper = scene.open();
    await scene.advance(0);
    sleeper.tab.freeze();
    const others = [scene.open(), scene.open()];
    await scene.advance(100);
    first.client.close();
    await scene.advance(40_000);
    scene.publish(5);
    await scene.advance(100);
    for (const { seen } of others) expect(seen).toEqual(span(1, 5));
    sleeper.tab.thaw();
    await scene.advance(10_000);
    scene.publish(5);
    await scene.advance(10_000);
    for (const { seen } of [sleeper, ...others]) expect(seen).toEqual(span(1, 10));
    expect(scene.server.streams.size).toBe(1);
  });

  test("ask at once when the page is shown or the network is back", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    const leader = leaderOf(scene);
    leader.tab.freeze();
    const other = tabs.find((one) => one !== leader);
    other?.tab.tell("document", "visibilitychange");
    await scene.advance(7_000);
    expect(scene.server.streams.size).toBe(2);
  });

  test("remind a leader whose page is hidden that it is time to try again", async () => {
    const scene = createScene();
    await openTabs(scene, 2);
    const leader = leaderOf(scene);
    leader.tab.hide();
    scene.server.cut();
    await scene.advance(10_000);
    expect(scene.server.streams.size).toBe(1);
    expect(leaderOf(scene)).toBe(leader);
  });

  test("are left by a leader whose page is frozen, and joined again", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    const leader = leaderOf(scene);
    leader.tab.tell("document", "freeze");
    leader.tab.freeze();
    scene.publish(5);
    await scene.advance(100);
    expect(scene.server.streams.size).toBe(1);
    expect(leader.client.getSnapshot()).toMatchObject({ status: "paused", reason: "frozen" });
    leader.tab.thaw();
    leader.tab.tell("document", "resume");
    await scene.advance(100);
    for (const { seen } of tabs) expect(seen).toEqual(span(1, 5));
    expect(scene.server.asked).toHaveLength(2);
  });

  test("let a newcomer begin where they are, and one with a cursor where it was", async () => {
    const scene = createScene();
    await openTabs(scene, 2);
    scene.publish(30);
    await scene.advance(100);
    const fresh = scene.open();
    const back = scene.open({ cursor: "k7q2m9x0-10" });
    await scene.advance(100);
    scene.publish(1);
    await scene.advance(100);
    expect(fresh.seen).toEqual([31]);
    expect(back.seen).toEqual(span(11, 31));
    expect(scene.server.asked).toHaveLength(1);
  });

  test("let one that is further back than they remember read for itself until it has caught up", async () => {
    const scene = createScene();
    scene.publish(50);
    await openTabs(scene, 2);
    const back = scene.open({ cursor: "k7q2m9x0-10" });
    await scene.advance(100);
    scene.publish(1);
    await scene.advance(100);
    expect(back.seen).toEqual(span(11, 51));
    expect(scene.server.asked.filter(({ tab }) => tab === back.tab)).toMatchObject([
      { path: "/api/polling" },
      { path: "/api/polling" },
    ]);
  });

  test("rewind each for itself", async () => {
    const scene = createScene();
    scene.publish(5);
    const first = scene.open({ rewind: "60s" });
    await scene.advance(100);
    scene.publish(5);
    const second = scene.open({ rewind: "60s" });
    await scene.advance(100);
    for (const { seen } of [first, second]) expect(seen).toEqual(span(1, 10));
    expect(scene.server.streams.size).toBe(1);
  });

  test("do not wait for a slow one, which catches up and queues no more than is remembered", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    const leader = leaderOf(scene);
    const slow = tabs.find((one) => one !== leader) as Shown;
    slow.busyMs = leader.busyMs = 1_000;
    const pad = "x".repeat(200_000);
    for (let burst = 0; burst < 4; burst += 1) {
      scene.publish(10, pad);
      await scene.advance(100);
    }
    for (const one of tabs) {
      expect(one.seen).toEqual(one.busyMs ? [1] : span(1, 40));
    }
    await scene.advance(60_000);
    for (const { seen } of tabs) expect(seen).toEqual(span(1, 40));
    scene.publish(1);
    await scene.advance(100);
    for (const { seen } of tabs) expect(seen).toEqual(span(1, 41));
    expect(scene.server.streams.size).toBe(1);
  });

  test("hold the server up while there is only one, and it is slow", async () => {
    const scene = createScene();
    const [only] = (await openTabs(scene, 1)) as [Shown];
    only.busyMs = 1_000;
    scene.publish(3, "x".repeat(600_000));
    await scene.advance(10_000);
    expect(only.seen).toEqual([1, 2, 3]);
    expect(scene.server.asked).toHaveLength(1);
  });

  test("are all told of a gap, once", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 4);
    scene.publish(3);
    await scene.advance(100);
    scene.server.restart();
    await scene.advance(10_000);
    scene.publish(3);
    await scene.advance(100);
    leaderOf(scene).client.close();
    await scene.advance(100);
    scene.publish(1);
    await scene.advance(100);
    for (const { seen, client } of tabs) {
      const closed = client.getSnapshot().status === "closed";
      expect(seen).toEqual([1, 2, 3, "gap", 4, 5, 6, ...(closed ? [] : [7])]);
    }
  });

  test("all end when the server refuses them, and begin again together", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    scene.server.refuse(403);
    scene.server.cut();
    await scene.advance(10_000);
    for (const { client } of tabs) {
      expect(client.getSnapshot()).toMatchObject({ status: "closed", error: { status: 403 } });
    }
    scene.server.refuse(0);
    scene.publish(2);
    for (const { client } of tabs) client.reconnect();
    await scene.advance(100);
    for (const { seen } of tabs) expect(seen).toEqual([1, 2]);
    expect(scene.server.streams.size).toBe(1);
  });

  test("connect anew when one of them asks for it", async () => {
    const scene = createScene();
    const tabs = await openTabs(scene, 3);
    for (const { client } of tabs) {
      const asked = scene.server.asked.length;
      client.reconnect();
      await scene.advance(100);
      expect(scene.server.asked).toHaveLength(asked + 1);
      expect(scene.server.streams.size).toBe(1);
    }
  });
});

describe("tabs that do not share", () => {
  const others: [string, Partial<TidingsOptions>][] = [
    ["of another user", { user: "43" }],
    ["with other topics", { topics: ["a", "b"] }],
    ["with other headers", { headers: { "X-Tenant": "1" } }],
    ["of another server", { url: "http://hub2.test" }],
  ];
  test.each(others)("are those %s", async (_, options) => {
    const scene = createScene();
    await openTabs(scene, 2);
    scene.open(options);
    await scene.advance(100);
    expect(scene.server.streams.size).toBe(2);
  });

  test.each([
    ["locks", { locks: undefined }],
    ["channels", { channel: undefined }],
    [
      "locks that may be used",
      { locks: { request: () => Promise.reject(new DOMException("no", "SecurityError")) } },
    ],
  ])("are those without %s", async (_, environment) => {
    const scene = createScene();
    const tabs = [scene.open({ environment }), scene.open({ environment })];
    await scene.advance(100);
    scene.publish(2);
    await scene.advance(100);
    expect(scene.server.streams.size).toBe(2);
    for (const { seen } of tabs) expect(seen).toEqual([1, 2]);
  });

  test("a client must say whose events it shares", () => {
    expect(() => createTidings({ url: "http://hub.test", shareTabs: true })).toThrow(TypeError);
  });
});
