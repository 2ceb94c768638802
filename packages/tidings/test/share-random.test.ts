// Tabs that share a connection, in random schedules: tabs open, close, crash, freeze, thaw and are slow, while
// streams break and the log is lost. Whatever happens, every tab sees each event once and in order.

import { describe, expect, test } from "vitest";
import type { TextStorage, Tidings } from "../src/types.ts";
import { createScene, createStorage, type Shown } from "./scene.ts";

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

    function open(storage: TextStorage = createStorage(), before?: Shown): void {
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
      // The page is gone with whatever a handler had not finished.
      one.tab.crash();
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
