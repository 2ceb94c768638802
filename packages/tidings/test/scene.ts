// Tabs that share, before a server that publishes numbered events: what each tab's handlers saw, and whether
// anything is missing or comes twice.

import { vi } from "vitest";
import { createTidings } from "../src/client.ts";
import type { State, TextStorage, Tidings, TidingsOptions } from "../src/types.ts";
import { createLogServer, type LogServer } from "./log-server.ts";
import { createBrowser, randomOf, type Tab } from "./tabs.ts";
import { createWorld, type World } from "./world.ts";

/** A tab with its client and what its handlers saw: the numbers of events, and gaps. */
export interface Shown {
  tab: Tab;
  client: Tidings;
  seen: (number | "gap")[];
  tokens: number;
  storage: TextStorage;
  /** The newest number when the tab was first told that it is connected. */
  owedAfter: number | undefined;
  /** How long each handler takes. */
  busyMs: number;
}

export interface Scene {
  random(): number;
  world: World;
  server: LogServer;
  /** All that were opened, also those that are no more. */
  shown: Shown[];
  open(options?: Partial<TidingsOptions>, storage?: TextStorage): Shown;
  publish(count?: number, pad?: string): void;
  /** The number of the last event. */
  newest(): number;
  /** Lets time pass. What a client loads takes none of it. */
  advance(ms: number): Promise<void>;
  /** The tab whose stream is open. */
  leader(): Shown | undefined;
  statuses(): State["status"][];
}

export function createScene(seed = 1, delayMsMax = 5): Scene {
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
      if (one.client.getSnapshot().status === "open") one.owedAfter ??= newest;
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
    shown,
    open,
    publish(count = 1, pad = "") {
      for (let left = count; left > 0; left -= 1) server.publish({ n: ++newest, pad });
    },
    newest: () => newest,
    async advance(ms: number) {
      await vi.dynamicImportSettled();
      await world.advance(ms);
    },
    leader: () => shown.find(({ tab }) => [...server.streams].some((one) => one.tab === tab)),
    statuses: () =>
      shown.filter(({ tab }) => tab.alive).map(({ client }) => client.getSnapshot().status),
  };
}

export function createStorage(): TextStorage {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}
