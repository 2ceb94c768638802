// Recent events by type, so that a page shows something before the network answers. Bounded by count, age and
// number of types, and kept in a storage if one is given. Knows no connection.

import type { TextStorage, TidingsEvent } from "./types.ts";

/** How much a cache keeps, for how long, and where. */
export interface EventCacheOptions {
  /** Events kept of each type; 50 unless given. */
  eventsPerType?: number;
  /** How long an event is kept, milliseconds; an hour unless given. */
  ageMs?: number;
  /** Types remembered, the one longest silent goes first; 100 unless given. */
  typesMax?: number;
  /** Keeps the events over a reload: `localStorage`, `sessionStorage` or the like. */
  storage?: TextStorage;
  /** The storage's key. Name the user in it, so that nobody sees another's events. */
  key?: string;
  /** Milliseconds since the Unix epoch; the clock of the machine unless given. */
  now?(): number;
}

/** Recent events by type. */
export interface EventCache {
  /** Keeps one more. The client does it for every event. */
  add(event: TidingsEvent): void;
  /** Events of the type, oldest first. */
  get(type: string): readonly TidingsEvent[];
  /** The newest event of the type. */
  last(type: string): TidingsEvent | undefined;
  /** Forgets everything, in the storage too. */
  clear(): void;
}

type Kept = [keptAt: number, event: TidingsEvent];

/** A cache, with what its storage has kept. */
export function createEventCache(options: EventCacheOptions = {}): EventCache {
  const { eventsPerType = 50, ageMs = 3_600_000, typesMax = 100, storage } = options;
  const { key = "tidings:events", now = () => Date.now() } = options;
  let types = load(storage, key);
  let saving = false;

  function fresh(type: string): Kept[] {
    const oldest = now() - ageMs;
    return types.get(type)?.filter(([keptAt]) => keptAt > oldest) ?? [];
  }

  /** Once for all events of a burst. */
  function save(): void {
    if (!storage || saving) return;
    saving = true;
    queueMicrotask(() => {
      saving = false;
      attempt(() => storage.setItem(key, JSON.stringify([...types])));
    });
  }

  return {
    add(event) {
      const kept = [...fresh(event.type), [now(), event] as Kept].slice(-eventsPerType);
      // Taken out and put in again: a map is in the order of insertion, so the first is the longest silent.
      types.delete(event.type);
      types.set(event.type, kept);
      for (const type of types.keys()) {
        if (types.size <= typesMax) break;
        types.delete(type);
      }
      save();
    },
    get: (type) => fresh(type).map(([, event]) => event),
    last: (type) => fresh(type).at(-1)?.[1],
    clear() {
      types = new Map();
      attempt(() => storage?.removeItem(key));
    },
  };
}

function load(storage: TextStorage | undefined, key: string): Map<string, Kept[]> {
  const read = () => {
    const types = JSON.parse(storage?.getItem(key) ?? "[]") as [string, Kept[]][];
    // Looked through here, so that another shape throws now and not when an event is asked for.
    return new Map(types.map(([type, kept]) => [type, kept.filter((one) => one[1].type === type)]));
  };
  return attempt(read) ?? new Map();
}

/** A storage may be full, forbidden, or hold what another version wrote: then there is nothing kept. */
function attempt<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
