// A browser with tabs, as far as they share a connection: locks, channels, and tabs that close, crash, freeze
// and thaw. What reaches a frozen tab waits for it; what a crashed tab had just said may reach some and not
// others. No time passes but the world's.

import type { ChannelSource, Environment, LockSource, PageSource } from "../src/types.ts";
import type { World } from "./world.ts";

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One tab's own turn of events. */
export interface Tab {
  readonly env: Environment;
  readonly frozen: boolean;
  readonly alive: boolean;
  /** Runs it now, or when the tab is thawed, or never. */
  run(task: () => void): void;
  /** Whatever was opened for the tab ends with it. */
  onGone(cleanUp: () => void): void;
  /** Nothing of it runs, and it is not told. */
  freeze(): void;
  thaw(): void;
  /** Its timers are late from now on, as a hidden page's are: they wait for the next full minute. */
  hide(): void;
  /** What the page is told. */
  tell(target: "window" | "document", type: string): void;
  /** It is no more, without a word. */
  crash(): void;
}

export interface Browser {
  locks: Locks;
  open(fetch: (tab: Tab) => Environment["fetch"]): Tab;
}

export function createBrowser(world: World, random: () => number, delayMsMax = 5): Browser {
  const later = (task: () => void) => world.env.setTimeout(task, Math.floor(random() * delayMsMax));
  const locks = createLocks(later);
  const channels = createChannels(world, random, delayMsMax);

  return {
    locks,
    open(fetch) {
      let alive = true;
      let frozen = false;
      let hidden = false;
      const waiting: (() => void)[] = [];
      const cleanUps: (() => void)[] = [];
      const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
      const page = Object.assign(new EventTarget(), { document });
      const run = (task: () => void) => {
        if (!alive) return;
        if (frozen) waiting.push(task);
        else task();
      };
      const tab: Tab = {
        env: { ...world.env },
        get frozen() {
          return frozen;
        },
        get alive() {
          return alive;
        },
        run,
        onGone: (cleanUp) => void cleanUps.push(cleanUp),
        freeze() {
          frozen = true;
        },
        thaw() {
          frozen = false;
          while (!frozen && waiting.length) waiting.shift()?.();
        },
        hide() {
          hidden = true;
        },
        tell: (target, type) =>
          run(() => void (target === "window" ? page : document).dispatchEvent(new Event(type))),
        crash() {
          alive = false;
          waiting.length = 0;
          for (const cleanUp of cleanUps) cleanUp();
        },
      };
      Object.assign(tab.env, {
        random,
        page: page as PageSource,
        setTimeout(callback, ms) {
          const timer = { cleared: false };
          const dueMs = world.env.now() + ms;
          const lateMs = hidden ? Math.ceil(dueMs / 60_000) * 60_000 - dueMs : 0;
          world.env.setTimeout(() => run(() => timer.cleared || callback()), ms + lateMs);
          return timer;
        },
        // Also of one that was due while the tab was frozen.
        clearTimeout(timer) {
          if (timer) (timer as { cleared: boolean }).cleared = true;
        },
        fetch: fetch(tab),
        locks: locks.of(run, tab.onGone),
        channel: channels.of(tab),
      } satisfies Partial<Environment>);
      return tab;
    },
  };
}

interface Claim {
  grant(): void;
  rob(): void;
}

export interface Locks {
  of(run: Tab["run"], onGone: Tab["onGone"]): LockSource;
}

/** `navigator.locks`, exclusive and stolen ones. */
export function createLocks(later: (task: () => void) => void): Locks {
  const queues = new Map<string, Claim[]>();
  const held = new Map<string, Claim>();

  function grantNext(name: string): void {
    const next = held.has(name) ? undefined : queues.get(name)?.shift();
    if (!next) return;
    held.set(name, next);
    later(next.grant);
  }

  function drop(name: string, claim: Claim): void {
    const queue = queues.get(name) ?? [];
    if (queue.includes(claim)) queue.splice(queue.indexOf(claim), 1);
    if (held.get(name) !== claim) return;
    held.delete(name);
    grantNext(name);
  }

  return {
    of: (run, onGone) => ({
      request: (name, { signal, steal }, callback) =>
        new Promise((resolve, reject) => {
          const aborted = () => run(() => reject(new DOMException("aborted", "AbortError")));
          let granted = false;
          const claim: Claim = {
            grant: () =>
              run(() => {
                granted = true;
                void Promise.resolve(callback()).then(() => {
                  drop(name, claim);
                  resolve(undefined);
                });
              }),
            rob: aborted,
          };
          signal?.addEventListener("abort", () => {
            if (granted || held.get(name) === claim) return;
            drop(name, claim);
            aborted();
          });
          onGone(() => drop(name, claim));
          const queue = queues.get(name) ?? [];
          queues.set(name, queue);
          if (steal) {
            held.get(name)?.rob();
            held.delete(name);
            queue.unshift(claim);
          } else queue.push(claim);
          grantNext(name);
        }),
    }),
  };
}

interface Posted {
  lost: boolean;
}

/** `BroadcastChannel`. What one tab posts comes to another in order. */
function createChannels(world: World, random: () => number, delayMsMax: number) {
  const ends = new Map<string, Set<{ tab: Tab; hear(message: unknown): void }>>();
  const underway = new Map<Tab, Map<Tab, Posted[]>>();

  function post(from: Tab, to: { tab: Tab; hear(message: unknown): void }, message: unknown) {
    const byReceiver = underway.get(from) ?? new Map<Tab, Posted[]>();
    underway.set(from, byReceiver);
    const posted: Posted & { dueMs: number } = {
      lost: false,
      dueMs: world.env.now() + Math.floor(random() * delayMsMax),
    };
    const before = (byReceiver.get(to.tab) ?? []) as (typeof posted)[];
    byReceiver.set(to.tab, before);
    posted.dueMs = Math.max(posted.dueMs, before.at(-1)?.dueMs ?? 0);
    before.push(posted);
    world.env.setTimeout(() => {
      before.splice(before.indexOf(posted), 1);
      if (!posted.lost) to.tab.run(() => to.hear(message));
    }, posted.dueMs - world.env.now());
  }

  return {
    of: (tab: Tab): ChannelSource => {
      tab.onGone(() => {
        // Each of the others has heard some of what it said last, and nothing after that.
        for (const posted of underway.get(tab)?.values() ?? []) {
          for (const one of posted.slice(Math.floor(random() * (posted.length + 1)))) {
            one.lost = true;
          }
        }
      });
      return (name, heard) => {
        let open = true;
        const end = { tab, hear: (message: unknown) => open && heard(message) };
        const all = ends.get(name) ?? new Set();
        ends.set(name, all.add(end));
        const close = () => {
          open = false;
          all.delete(end);
        };
        tab.onGone(close);
        return {
          post(message) {
            if (!tab.alive) return;
            if (!open) throw new DOMException("closed", "InvalidStateError");
            const copy = structuredClone(message);
            for (const other of all) if (other !== end) post(tab, other, copy);
          },
          close,
        };
      };
    },
  };
}
