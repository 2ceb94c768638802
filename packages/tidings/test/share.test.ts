// Tabs that share a connection: one stream for all, and in each of them every event once and in order,
// whatever tabs close, crash, freeze or are slow.

import { describe, expect, test, vi } from "vitest";
import { createTidings } from "../src/client.ts";
import type { State, TextStorage, Tidings, TidingsOptions } from "../src/types.ts";
import { createLogServer } from "./log-server.ts";
import { createBrowser, randomOf, type Tab } from "./tabs.ts";
import { createWorld } from "./world.ts";

/** A tab with its client and what its handlers saw: the numbers of events, and gaps. */
interface Shown {
  tab: Tab;
  client: Tidings;
  seen: (number | "gap")[];
  states: State[];
  tokens: number;
  storage: TextStorage;
  /** The newest number when the tab was first told that it is connected. */
  owedAfter: number | undefined;
  /** How long each handler takes. */
  busyMs: number;
}

function createScene(seed = 1, delayMsMax = 5) {
  const random = randomOf(seed);
  const world = createWorld({ sse: [] });
  const server = createLogServer(world);
  const browser = createBrowser(world, random, delayMsMax);
  const shown: Shown[] = [];
  let newest = 0;

  function open(options: Partial<TidingsOptions> = {}, storage = createStorage()): Shown {
    const tab = browser.open(server.fetch);
    const one: Shown = {
      tab,
      seen: [],
      states: [],
      tokens: 0,
      storage,
      owedAfter: undefined,
      busyMs: 0,
      client: createTidings({
        url: "http://hub.test",
        user: "42",
        topics: ["a"],
        shareTabs: true,
        token: () => {
          one.tokens += 1;
          return "token";
        },
        storage,
        onGap: () => void one.seen.push("gap"),
        ...options,
        environment: { ...tab.env, ...options.environment },
      }),
    };
    one.client.subscribe(() => {
      const state = one.client.getSnapshot();
      one.states.push(state);
      if (state.status === "open") one.owedAfter ??= newest;
    });
    one.client.onAny(({ data }) => {
      one.seen.push((data as { n: number }).n);
      if (!one.busyMs) return undefined;
      return new Promise<void>((resolve) => void tab.env.setTimeout(resolve, one.busyMs));
    });
    shown.push(one);
    return one;
  }

  return {
    random,
    world,
    server,
    browser,
    shown,
    open,
    publish(count = 1, pad = "") {
      for (let left = count; left > 0; left -= 1) server.publish({ n: ++newest, pad });
    },
    newest: () => newest,
    /** Lets time pass. What a client loads takes none of it. */
    async advance(ms: number) {
      await vi.dynamicImportSettled();
      await world.advance(ms);
    },
    /** The tab whose stream is open. */
    leader: () => shown.find(({ tab }) => [...server.streams].some((one) => one.tab === tab)),
    statuses: () =>
      shown.filter(({ tab }) => tab.alive).map(({ client }) => client.getSnapshot().status),
  };
}

type Scene = ReturnType<typeof createScene>;

function createStorage(): TextStorage {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

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

/** So many random schedules, each from its own seed; `TIDINGS_SHARE_SEED` replays one. */
const SCHEDULES = 25;
const STEPS = 60;

describe("in random schedules, every tab sees each event once and in order", () => {
  const given = process.env.TIDINGS_SHARE_SEED;
  const first = given ? Number(given) : Math.floor(Math.random() * 1_000_000);
  const seeds = Array.from({ length: given ? 1 : SCHEDULES }, (_, index) => first + index);

  test.each(seeds)("TIDINGS_SHARE_SEED=%i", async (seed) => {
    const scene = createScene(seed, 20);
    const { random, world, server, shown } = scene;
    const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
    const some = (thawed = true) =>
      pick(shown.filter(({ tab, client }) => tab.alive && tab.frozen !== thawed && !ended(client)));
    const pad = random() < 0.2 ? "x".repeat(150_000) : "";
    const slow = random() < 0.5;
    if (random() < 0.3) server.keep(30);
    let restarts = 0;

    const actions: [weight: number, action: () => void][] = [
      [8, () => scene.publish(1 + Math.floor(random() * 12), pad)],
      [2, () => server.publishElsewhere()],
      [4, () => shown.filter(({ tab }) => tab.alive).length < 8 && open()],
      [1, () => some()?.client.close()],
      [1, () => (some(random() < 0.5) ?? some())?.tab.crash()],
      [1, () => void scene.leader()?.tab.crash()],
      [2, () => some()?.tab.freeze()],
      [1, () => scene.leader()?.tab.freeze()],
      [3, () => some(false)?.tab.thaw()],
      [1, () => softly(some())],
      [1, () => reload(some())],
      [1, () => some()?.client.reconnect()],
      [1, () => some()?.tab.tell("window", "online")],
      [1, () => some()?.tab.tell("document", "visibilitychange")],
      [1, () => server.cut()],
      [0.3, () => restarts++ < 3 && server.restart()],
    ];
    const weights = actions.reduce((sum, [weight]) => sum + weight, 0);

    function open(storage = createStorage(), before?: Shown): void {
      const one = scene.open({}, storage);
      one.busyMs = slow && random() < 0.5 ? (pick([1, 20, 300]) ?? 0) : 0;
      // It goes on after what was kept.
      const kept = before?.client.cursor;
      const last = kept && (server.lastUpTo(kept) as { n: number } | undefined);
      if (kept) {
        one.seen.push(last ? last.n : 0);
        one.owedAfter = Number.POSITIVE_INFINITY;
      }
    }
    /** As a browser does it, after it has told the page. */
    function softly(one: Shown | undefined): void {
      one?.tab.tell("document", "freeze");
      one?.tab.freeze();
      world.env.setTimeout(() => {
        one?.tab.thaw();
        one?.tab.tell("document", "resume");
      }, 30_000 * random());
    }
    function reload(one: Shown | undefined): void {
      if (!one) return;
      one.client.close();
      open(one.storage, one);
    }

    open();
    for (let step = 0; step < STEPS; step += 1) {
      let drawn = random() * weights;
      const action = actions.find(([weight]) => {
        drawn -= weight;
        return drawn < 0;
      });
      action?.[1]();
      await scene.advance(pick([0, 1, 3, 10, 50, 50, 500, 5_000, 20_000]) ?? 0);
    }
    for (const { tab } of shown) tab.thaw();
    open();
    await scene.advance(120_000);
    scene.publish(1);
    await scene.advance(120_000);

    const left = shown.filter(({ tab, client }) => tab.alive && !ended(client));
    for (const one of shown) {
      expect(faultsOf(one.seen), `of ${one.seen}`).toEqual([]);
    }
    for (const { seen, owedAfter, client } of left) {
      expect(client.getSnapshot().status).toBe("open");
      expect(seen.at(-1)).toBe(scene.newest());
      expect(seen[0] === "gap" ? 0 : seen[0]).toBeLessThanOrEqual((owedAfter ?? 0) + 1);
    }
    expect(server.streams.size).toBe(1);
    // Nobody reads for itself any more.
    const end = world.env.now();
    await scene.advance(60_000);
    expect(server.asked.filter(({ atMs }) => atMs > end)).toEqual([]);
  });
});

function ended(client: Tidings): boolean {
  return client.getSnapshot().status === "closed";
}

/** Where something is missing that no gap was told of, or comes again. */
function faultsOf(seen: (number | "gap")[]): string[] {
  const faults: string[] = [];
  let last: number | undefined;
  let gap = false;
  for (const next of seen) {
    if (next === "gap") gap = true;
    else {
      const missing = !gap && next > (last ?? next - 1) + 1;
      if (missing || next <= (last ?? -1)) faults.push(`${next} after ${last}`);
      last = next;
      gap = false;
    }
  }
  return faults;
}

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
