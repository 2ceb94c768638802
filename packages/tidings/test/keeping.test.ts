// What outlives a page or a moment: cursors, and how the client takes what happens to its page.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isAfter, parseCursor } from "../src/cursor.ts";
import type { PageSource, TextStorage } from "../src/types.ts";
import { createWatchdog } from "../src/watchdog.ts";
import { type Answer, connected, createWorld, page } from "./world.ts";

const open = (...more: [number, string][]): Answer => ({ body: [[0, connected()], ...more] });
const event = (position: number) => `id: k7q2m9x1-${position}\ndata: ${position}\n\n`;

function storage(): TextStorage & { kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

function createPage() {
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const window = Object.assign(new EventTarget(), { document });
  const tell = (target: EventTarget, type: string, more = {}) =>
    target.dispatchEvent(Object.assign(new Event(type), more));
  return {
    source: window as PageSource,
    online: () => tell(window, "online"),
    show(visible: boolean) {
      document.visibilityState = visible ? "visible" : "hidden";
      tell(document, "visibilitychange");
    },
    freeze: () => tell(document, "freeze"),
    resume: () => tell(document, "resume"),
    hide: (persisted: boolean) => tell(window, "pagehide", { persisted }),
    restore: (persisted: boolean) => tell(window, "pageshow", { persisted }),
  };
}

describe("the cursor", () => {
  const vectors = new URL("../../../spec/vectors/cursors.json", import.meta.url);
  const { valid, invalid } = JSON.parse(readFileSync(vectors, "utf8")) as {
    valid: { cursor: string; epoch: string; position: string }[];
    invalid: { cursor: string; reason: string }[];
  };

  test.each(valid)("$cursor is one", ({ cursor, epoch, position }) => {
    expect(parseCursor(cursor)).toEqual({ epoch, position });
  });

  test.each(invalid)("'$cursor' is none ($reason)", ({ cursor }) => {
    expect(parseCursor(cursor)).toBeUndefined();
  });

  test("compares positions as the numbers they are", () => {
    const ascending = [
      "0",
      "9",
      "10",
      "9007199254740992",
      "9007199254740993",
      "18446744073709551615",
    ];
    for (const [i, a] of ascending.entries()) {
      for (const [j, b] of ascending.entries()) expect(isAfter(a, b), `${a} ${b}`).toBe(i > j);
    }
  });

  test("is kept over a reload, for each user and each choice of topics", async () => {
    const kept = storage();
    const first = createWorld({ sse: [open([0, event(2) + event(3)])] });
    first.client({ user: "ada", storage: kept }).on("message", () => undefined);
    await first.advance(10);
    expect([...kept.kept.values()]).toEqual(["k7q2m9x1-3"]);

    const offered = async (options: object) => {
      const world = createWorld({ sse: [open()] });
      world.client({ storage: kept, ...options }).connect();
      await world.advance(10);
      return world.asked[0]?.headers["Last-Event-ID"];
    };
    expect(await offered({ user: "ada" })).toBe("k7q2m9x1-3");
    expect(await offered({ user: "ada", cursor: "k7q2m9x1-2" })).toBe("k7q2m9x1-2");
    expect(await offered({ user: "ada", topics: ["orders/1"] })).toBeUndefined();
    expect(await offered({ user: "bob" })).toBeUndefined();
    expect(await offered({})).toBeUndefined();
  });

  test("is kept of handled events only", async () => {
    const kept = storage();
    const world = createWorld({ sse: [open([0, event(2) + event(3)])] });
    world.client({ user: "ada", storage: kept }).on("message", ({ data }) => {
      return data === 3 ? new Promise(() => undefined) : undefined;
    });
    await world.advance(10);
    expect([...kept.kept.values()]).toEqual(["k7q2m9x1-2"]);
  });

  test("leaves nothing behind that was read when the client was closed: it is handled after `reconnect`", async () => {
    const world = createWorld({
      sse: [open([0, event(2) + event(3)]), { body: [[0, connected("k7q2m9x1-3")]] }],
    });
    const client = world.client();
    const seen: unknown[] = [];
    client.on("message", ({ data }) => {
      seen.push(data);
      return new Promise<void>((resolve) => world.env.setTimeout(resolve, 100));
    });
    await world.advance(10);
    client.close();
    await world.advance(1_000);
    expect([seen, client.cursor]).toEqual([[2], "k7q2m9x1-2"]);
    client.reconnect();
    await world.advance(1_000);
    expect([seen, client.cursor]).toEqual([[2, 3], "k7q2m9x1-3"]);
    expect(world.asked[1]?.headers["Last-Event-ID"]).toBe("k7q2m9x1-3");
  });

  test("is done without when the storage is full or forbidden", async () => {
    const refuses = () => {
      throw new DOMException("no", "SecurityError");
    };
    const world = createWorld({ sse: [open([0, event(2)])] });
    const client = world.client({
      user: "ada",
      storage: { getItem: refuses, setItem: refuses, removeItem: refuses },
    });
    client.connect();
    await world.advance(10);
    expect(client.cursor).toBe("k7q2m9x1-2");
  });
});

describe("a page", () => {
  test("that is online again tries at once, and not more than once a second", async () => {
    const page = createPage();
    const world = createWorld({ sse: [{ refused: true }] }, page.source);
    world.client({ transports: ["sse"] }).connect();
    await world.advance(1_500);
    page.online();
    page.online();
    await world.advance(100);
    expect(world.times()).toEqual(["0 sse", "1.5 sse"]);
  });

  test("does not come back sooner than the server asked", async () => {
    const page = createPage();
    const busy = { status: 503, headers: { "Retry-After": "60" } };
    const world = createWorld({ sse: [busy] }, page.source);
    world.client({ transports: ["sse"] }).connect();
    await world.advance(30_000);
    page.online();
    page.show(true);
    await world.advance(100);
    expect(world.times()).toEqual(["0 sse"]);
  });

  test("that is online again has a new stream beside the old one, which ends when the new one works", async () => {
    const page = createPage();
    const slow: Answer = { body: [[2_000, connected()]] };
    const world = createWorld({ sse: [open(), slow] }, page.source);
    const client = world.client();
    client.connect();
    await world.advance(5_000);
    page.online();
    await world.advance(5_000);
    expect(world.times()).toEqual(["0 sse", "5 sse"]);
    expect(world.asked[0]?.abandonedAtMs).toBe(7_000);
    expect(client.states.map(({ status }) => status)).toEqual(["connecting", "open"]);
  });

  test("that is shown again probes only a stream that has missed its heartbeat", async () => {
    const page = createPage();
    const world = createWorld({ sse: [open([14_000, ":\n"]), open()] }, page.source);
    world.client().connect();
    await world.advance(20_000);
    page.show(false);
    page.show(true);
    await world.advance(10_000);
    expect(world.times()).toEqual(["0 sse"]);
    page.show(true);
    await world.advance(10);
    expect(world.times()).toEqual(["0 sse", "30 sse"]);
  });

  test("that is hidden stays connected, unless it is asked to pause", async () => {
    for (const pauseWhenHidden of [false, true]) {
      const page = createPage();
      const world = createWorld({ sse: [open([0, event(4)]), open()] }, page.source);
      const client = world.client({ pauseWhenHidden });
      client.connect();
      await world.advance(1_000);
      page.show(false);
      await world.advance(1_000);
      expect(client.getSnapshot().status).toBe(pauseWhenHidden ? "paused" : "open");
      page.show(true);
      await world.advance(10);
      expect(client.getSnapshot().status).toBe("open");
      expect(world.asked[1]?.headers["Last-Event-ID"]).toBe(
        pauseWhenHidden ? "k7q2m9x1-4" : undefined,
      );
      client.close();
    }
  });

  test("that is frozen, or kept for the back button, lets go and resumes on its cursor", async () => {
    const page = createPage();
    const world = createWorld({ sse: [open([0, event(4)]), open(), open()] }, page.source);
    const client = world.client();
    client.connect();
    await world.advance(1_000);
    page.freeze();
    await world.advance(1_000);
    expect(client.getSnapshot()).toEqual({
      status: "paused",
      reason: "frozen",
      cursor: "k7q2m9x1-4",
    });
    expect(world.timers()).toBe(0);
    page.resume();
    await world.advance(1_000);
    page.hide(false);
    expect(client.getSnapshot().status).toBe("open");
    page.hide(true);
    expect(client.getSnapshot().status).toBe("paused");
    page.restore(true);
    await world.advance(1_000);
    expect([world.times(), client.getSnapshot().status]).toEqual([
      ["0 sse", "2 sse", "3 sse"],
      "open",
    ]);
    expect(world.asked[1]?.headers["Last-Event-ID"]).toBe("k7q2m9x1-4");
  });

  test("is not listened to any more once the client has ended", async () => {
    const page = createPage();
    const world = createWorld({ sse: [{ status: 403 }] }, page.source);
    const client = world.client();
    client.connect();
    await world.advance(10);
    page.freeze();
    page.resume();
    page.online();
    await world.advance(10);
    expect([client.getSnapshot().status, world.times()]).toEqual(["closed", ["0 sse"]]);
  });

  test("that polls, polls at once when it is shown", async () => {
    const source = createPage();
    const world = createWorld({ sse: [], polling: [page([])] }, source.source);
    world.client({ transports: ["poll"] }).connect();
    await world.advance(5_000);
    source.show(true);
    await world.advance(10);
    expect(world.times()).toEqual(["0 polling", "5 polling"]);
  });
});

describe("the watchdog", () => {
  function dog(limitMs: number) {
    let now = 0;
    let silent = 0;
    let timer: { at: number; callback: () => void } | undefined;
    const env = {
      now: () => now,
      setTimeout(callback: () => void, ms: number) {
        timer = { at: now + ms, callback };
      },
      clearTimeout() {
        timer = undefined;
      },
    };
    const watchdog = createWatchdog(env, limitMs, () => {
      silent += 1;
    });
    return {
      watchdog,
      silent: () => silent,
      /** The clock moves on, and a timer that is due is called only now. */
      sleep(ms: number) {
        now += ms;
        if (timer && timer.at <= now) timer.callback();
      },
    };
  }

  test("grants a second look after a sleep, for what lies unread", () => {
    const { watchdog, silent, sleep } = dog(1_000);
    sleep(3_600_000);
    expect(silent()).toBe(0);
    watchdog.touch();
    sleep(1_000);
    expect(silent()).toBe(1);
  });

  test("is not fooled by a second sleep", () => {
    const { silent, sleep } = dog(1_000);
    sleep(3_600_000);
    sleep(3_600_000);
    expect(silent()).toBe(1);
  });

  test("says nothing once stopped", () => {
    const { watchdog, silent, sleep } = dog(1_000);
    watchdog.stop();
    sleep(2_000);
    expect(silent()).toBe(0);
  });
});
