// The small rules behind the parts: places in the address, the bounded tail, who is busiest, what is sent.

import { expect, test } from "vitest";
import { serverUrl } from "../src/api.ts";
import { ranked } from "../src/overview/ranking.ts";
import { bodyOf, jsonFault } from "../src/publish/body.ts";
import { hrefTo, parseRoute } from "../src/route.ts";
import { createSession } from "../src/session.ts";
import { createBuffer } from "../src/tail/buffer.ts";

test("the server is found below its base path", () => {
  const url = (pathname: string) => serverUrl({ origin: "https://a.example", pathname });
  expect(url("/admin/")).toBe("https://a.example");
  expect(url("/live/v1/admin/")).toBe("https://a.example/live/v1");
  expect(url("/administration/admin/")).toBe("https://a.example/administration");
});

test("a place in the address survives any text", () => {
  const topic = "a%2Fb/ü&c=d#e?f";
  expect(parseRoute(hrefTo("tail", { topic, from: "" }))).toEqual({
    part: "tail",
    query: { topic },
  });
  expect(parseRoute("#/nowhere").part).toBe("overview");
  expect(parseRoute("").part).toBe("overview");
});

test("the tail forgets the oldest, by number and by size", () => {
  const event = (id: string, data = "") => ({ id, type: "t", topics: ["a"], time: 0, data });
  const buffer = createBuffer({ eventsMax: 3, charsMax: 100 });
  const ids = (text = "") => buffer.newest(text, 10).map(({ id }) => id);
  for (let index = 0; index < 10; index += 1) buffer.add(event(`${index}`));
  expect([ids(), buffer.size, buffer.added]).toEqual([["9", "8", "7"], 3, 10]);
  buffer.add(event("big", "x".repeat(97)));
  expect(ids()).toEqual(["big"]);
  buffer.add(event("small", "Needle"));
  expect(ids()).toEqual(["small"]);
  expect([ids("nEEDLE"), ids("absent")]).toEqual([["small"], []]);
  buffer.clear();
  expect([ids(), buffer.size]).toEqual([[], 0]);
});

test("the busiest are those that grew fastest, also after a restart", () => {
  const before = { at: 1_000, counts: { old: 1_000, quick: 10, restarted: 500 } };
  const rows = ranked({ old: 1_000, quick: 30, restarted: 8, fresh: 2 }, before, 3_000, 3);
  expect(rows).toEqual([
    { name: "quick", total: 30, perSec: 10 },
    { name: "restarted", total: 8, perSec: 4 },
    { name: "fresh", total: 2, perSec: 1 },
  ]);
  expect(ranked({ toString: 5 }, { at: 0, counts: {} }, 1_000, 3)).toEqual([
    { name: "toString", total: 5, perSec: 5 },
  ]);
  expect(ranked({ a: 1, b: 2 }, null, 5, 3).map(({ name, perSec }) => [name, perSec])).toEqual([
    ["b", null],
    ["a", null],
  ]);
});

test("what is published goes out as it was spelled", () => {
  expect(bodyOf("a/b", "", "json", " 12345678901234567890 ")).toBe(
    '{"topic":"a/b","data":12345678901234567890}',
  );
  expect(bodyOf('q"', "t", "text", "a\nb")).toBe('{"topic":"q\\"","type":"t","text":"a\\nb"}');
  expect(bodyOf("a", "", "json", "")).toBe('{"topic":"a","data":null}');
  expect(jsonFault("{]")).toMatch(/no JSON/);
  expect(jsonFault('1,"x":2')).toMatch(/no JSON/);
  expect([jsonFault("[1]"), jsonFault("")]).toEqual([undefined, undefined]);
});

test("the key is stored only when asked for, and gone when signed out", () => {
  const stored = new Map<string, string>();
  const storage = {
    getItem: (name: string) => stored.get(name) ?? null,
    setItem: (name: string, value: string) => void stored.set(name, value),
    removeItem: (name: string) => void stored.delete(name),
  } as Storage;
  const session = createSession(() => storage);
  session.signIn("k1", false);
  expect([session.get(), stored.size]).toEqual(["k1", 0]);
  session.signIn("k2", true);
  expect(createSession(() => storage).get()).toBe("k2");
  session.signOut("why");
  expect([session.get(), session.reason(), stored.size]).toEqual([undefined, "why", 0]);
  const forbidden = createSession(() => {
    throw new DOMException("forbidden");
  });
  forbidden.signIn("k3", true);
  expect(forbidden.get()).toBe("k3");
});
