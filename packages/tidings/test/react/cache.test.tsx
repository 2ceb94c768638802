// @vitest-environment happy-dom

// The event cache: what it keeps, how it is asked, when it forgets, and what components see of it.

import { render } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import { createEventCache, type EventCache, type EventCacheOptions } from "../../src/cache.ts";
import { TidingsProvider, useLastEvent, useSSE } from "../../src/react/index.ts";
import type { Environment, TextStorage, TidingsEvent } from "../../src/types.ts";
import { event, open, SSE, world } from "./hooks.ts";

const of = (type: string, data: unknown, id = `k7q2m9x1-${data}`): TidingsEvent => ({
  id,
  type,
  data,
  topics: [],
});
const dataOf = (events: readonly { data: unknown }[]) => events.map(({ data }) => data);

function storage(): TextStorage & { kept: Map<string, string>; writes: number } {
  const kept = new Map<string, string>();
  return {
    kept,
    writes: 0,
    getItem: (key) => kept.get(key) ?? null,
    setItem(key, value) {
      this.writes += 1;
      kept.set(key, value);
    },
    removeItem: (key) => void kept.delete(key),
  };
}

/** A cache whose clock the test moves. */
function timed(options: EventCacheOptions) {
  let now = 1_000_000;
  const cache = createEventCache({ ...options, now: () => now });
  return {
    cache,
    pass(ms: number) {
      now += ms;
    },
  };
}

function Shown({ type }: { type: string }) {
  return String(useLastEvent(type)?.data ?? "none");
}

function Feed({ env, cache }: { env: Environment; cache: EventCache }) {
  const { lastUpdate } = useSSE({ endpoint: SSE, environment: env, cache });
  return `${lastUpdate ? "live" : "cached"}: ${dataOf(cache.get("message"))}`;
}

function shown(env: Environment, cache: EventCache, type = "message") {
  return (
    <TidingsProvider url="http://hub.test" environment={env} cache={cache}>
      <Shown type={type} />
    </TidingsProvider>
  );
}

describe("event cache", () => {
  describe("caching", () => {
    test("keeps the newest events of each type", () => {
      const cache = createEventCache({ eventsPerType: 2 });
      for (const data of [1, 2, 3]) cache.add(of("a", data));
      cache.add(of("b", 4));
      expect([dataOf(cache.get("a")), dataOf(cache.get("b"))]).toEqual([[2, 3], [4]]);
    });

    test("keeps 50 of a type unless told otherwise", () => {
      const cache = createEventCache();
      for (let data = 1; data <= 60; data += 1) cache.add(of("a", data));
      expect(dataOf(cache.get("a"))).toEqual(Array.from({ length: 50 }, (_, i) => i + 11));
    });

    test("forgets the type that was silent for longest, when there are too many", () => {
      const cache = createEventCache({ typesMax: 2 });
      for (const type of ["a", "b", "a", "c"]) cache.add(of(type, 1));
      expect(["a", "b", "c"].filter((type) => cache.last(type))).toEqual(["a", "c"]);
    });

    test("is filled before the handlers are called", async () => {
      const cache = createEventCache();
      const { client, advance } = world({ sse: [open([0, event(2)])] });
      const seen: unknown[] = [];
      client({ cache }).on("message", () => seen.push(cache.last("message")?.data));
      await advance(10);
      expect(seen).toEqual([2]);
    });

    test("is filled by a hook, with repeats left out", async () => {
      const cache = createEventCache();
      const { env, pass } = world({ sse: [open([10, event(2) + event(2) + event(3)])] });
      const { container } = render(<Feed env={env} cache={cache} />);
      await pass(5);
      expect(container.textContent).toBe("cached: ");
      await pass(100);
      expect(container.textContent).toBe("live: 2,3");
    });

    test("writes a burst to its storage at once", async () => {
      const kept = storage();
      const cache = createEventCache({ storage: kept });
      for (const data of [1, 2, 3]) cache.add(of("a", data));
      await Promise.resolve();
      expect(kept.writes).toBe(1);
    });

    test("does without a storage that is full or forbidden", async () => {
      const refuses = () => {
        throw new DOMException("no", "QuotaExceededError");
      };
      const full = { getItem: refuses, setItem: refuses, removeItem: refuses };
      const cache = createEventCache({ storage: full });
      cache.add(of("a", 1));
      await Promise.resolve();
      expect(cache.last("a")?.data).toBe(1);
      cache.clear();
      expect(cache.last("a")).toBeUndefined();
    });
  });

  describe("retrieval", () => {
    test("gives the events of a type, oldest first, and the last of them", () => {
      const cache = createEventCache();
      for (const data of [1, 2]) cache.add(of("a", data));
      expect(cache.get("a")).toEqual([of("a", 1), of("a", 2)]);
      expect(cache.last("a")).toEqual(of("a", 2));
    });

    test("gives nothing of a type that has not come", () => {
      const cache = createEventCache();
      cache.add(of("a", 1));
      expect([cache.get("b"), cache.last("b")]).toEqual([[], undefined]);
      expect([cache.get("toString"), cache.last("constructor")]).toEqual([[], undefined]);
    });

    test("gives nothing after it was cleared, nor does the next page", async () => {
      const kept = storage();
      const cache = createEventCache({ storage: kept });
      cache.add(of("a", 1));
      await Promise.resolve();
      cache.clear();
      expect([cache.get("a"), createEventCache({ storage: kept }).get("a")]).toEqual([[], []]);
    });

    test("gives after a reload what was kept, to the same user alone", async () => {
      const kept = storage();
      const cache = createEventCache({ storage: kept, key: "of ada" });
      for (const data of [1, { two: [2] }]) cache.add(of("a", data, "k7q2m9x1-1"));
      await Promise.resolve();
      const reloaded = createEventCache({ storage: kept, key: "of ada" });
      expect(reloaded.get("a")).toEqual(cache.get("a"));
      expect(createEventCache({ storage: kept, key: "of bob" }).get("a")).toEqual([]);
    });

    test.each([
      "{",
      "null",
      "7",
      '"a"',
      '[["a"]]',
      '[["a",{}]]',
      '[["a",[null]]]',
      '[["a",[[1,{}]]]]',
    ])("gives nothing of a storage that holds %s, and works on", (text) => {
      const kept = storage();
      kept.kept.set("tidings:events", text);
      const cache = createEventCache({ storage: kept });
      expect(cache.get("a")).toEqual([]);
      cache.add(of("a", 1));
      expect(dataOf(cache.get("a"))).toEqual([1]);
    });

    test("shows a component what was kept, before the network answers", async () => {
      const { env, pass } = world({ sse: [{ hangs: true }] });
      const cache = createEventCache();
      cache.add(of("message", "kept"));
      const { container } = render(shown(env, cache));
      expect(container.textContent).toBe("kept");
      await pass(10);
      expect(container.textContent).toBe("kept");
    });

    test("gives way to what the network brings", async () => {
      const { env, pass } = world({ sse: [open([100, event(2)])] });
      const cache = createEventCache();
      cache.add(of("message", "kept"));
      const { container } = render(shown(env, cache));
      await pass(50);
      expect(container.textContent).toBe("kept");
      await pass(100);
      expect([container.textContent, dataOf(cache.get("message"))]).toEqual(["2", ["kept", 2]]);
    });

    test("shows a component that comes later what came before it", async () => {
      const { env, pass } = world({ sse: [open([0, event(2, "a")])] });
      const cache = createEventCache();
      const { container, rerender } = render(shown(env, cache, "b"));
      await pass(10);
      expect(container.textContent).toBe("none");
      rerender(shown(env, cache, "a"));
      expect(container.textContent).toBe("2");
    });
  });

  describe("expiration", () => {
    test("forgets each event when it is too old", () => {
      const { cache, pass } = timed({ ageMs: 100 });
      cache.add(of("a", 1));
      pass(60);
      cache.add(of("a", 2));
      pass(39);
      expect(dataOf(cache.get("a"))).toEqual([1, 2]);
      pass(1);
      expect([dataOf(cache.get("a")), cache.last("a")?.data]).toEqual([[2], 2]);
      pass(60);
      expect([cache.get("a"), cache.last("a")]).toEqual([[], undefined]);
    });

    test("is after an hour unless told otherwise", () => {
      const { cache, pass } = timed({});
      cache.add(of("a", 1));
      pass(3_599_999);
      expect(cache.last("a")?.data).toBe(1);
      pass(1);
      expect(cache.last("a")).toBeUndefined();
    });

    test("counts over a reload", async () => {
      const kept = storage();
      const { cache } = timed({ ageMs: 100, storage: kept });
      cache.add(of("a", 1));
      await Promise.resolve();
      const after = (ms: number) =>
        createEventCache({ ageMs: 100, storage: kept, now: () => 1_000_000 + ms });
      expect(after(99).last("a")?.data).toBe(1);
      expect(after(100).last("a")).toBeUndefined();
    });

    test("does not let old events take the place of new ones", () => {
      const { cache, pass } = timed({ ageMs: 100, eventsPerType: 2 });
      for (const data of [1, 2]) cache.add(of("a", data));
      pass(100);
      cache.add(of("a", 3));
      expect(dataOf(cache.get("a"))).toEqual([3]);
    });

    test("keeps what is too old from a component", () => {
      const { env } = world({ sse: [{ hangs: true }] });
      const { cache, pass } = timed({ ageMs: 100 });
      cache.add(of("message", "kept"));
      pass(100);
      expect(render(shown(env, cache)).container.textContent).toBe("none");
    });
  });
});
