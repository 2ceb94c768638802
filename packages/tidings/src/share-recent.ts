// What was lately read for all tabs, in order. A tab takes from here what its handlers are ready for, and a
// leader finds here what another tab has missed. It knows places, but no tabs, servers or handlers.

import { isAfter, parseCursor } from "./cursor.ts";
import type { Gap, TidingsEvent } from "./types.ts";

/** Entries that are remembered. */
export const RECENT_ENTRIES_MAX = 2_000;
/** Characters of their data as JSON that are remembered: about 2 MB in memory. The newest entry always is. */
export const RECENT_CHARS_MAX = 1_048_576;

/** One thing that was read, between the place before it and the place after it. */
export type Entry = {
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** When it was read, milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** The leadership that it was read under. */
  readonly term: number;
  readonly chars: number;
} & (
  | { readonly kind: "event"; readonly event: TidingsEvent }
  | { readonly kind: "gap"; readonly gap: Gap }
  | { readonly kind: "moved" }
);

/** Where a tab stands that asks for what it has missed. */
export interface Standing {
  readonly place: string | undefined;
  /** When it began to listen: without a place, it is owed what was read since. */
  readonly sinceMs: number;
}

export interface Recent {
  /** The place after the newest entry. */
  readonly end: string | undefined;
  push(entry: Entry): void;
  /** The oldest entry that was not taken. */
  peek(): Entry | undefined;
  take(): void;
  /** Whether a tab at this place can go on with what was not taken. Forgets what it has had. */
  rejoin(place: string | undefined): boolean;
  /** What a tab is owed; nothing when that is more than is remembered. */
  owed(standing: Standing, term: number): Entry[] | undefined;
  /** Forgets everything and goes on from a place. */
  restart(end: string | undefined, nowMs: number): void;
}

/** Whether a reader at `place` has everything up to `other`. Only positions of one epoch compare. */
export function reaches(place: string | undefined, other: string | undefined): boolean {
  if (place === other) return true;
  const ours = parseCursor(place ?? "");
  const theirs = parseCursor(other ?? "");
  if (!ours || !theirs || ours.epoch !== theirs.epoch) return false;
  return !isAfter(theirs.position, ours.position);
}

/** Whether what leads to `after` is a repeat. An id that is no cursor never tells. */
export function isRepeat(place: string | undefined, after: string | undefined): boolean {
  return !!parseCursor(after ?? "") && reaches(place, after);
}

export function createRecent(start: string | undefined, startMs: number): Recent {
  let entries: Entry[] = [];
  let chars = 0;
  /** How many were taken. */
  let taken = 0;
  let end = start;
  /** Everything that was read since then is here. A place to begin with reaches back to any time. */
  let completeFromMs = start === undefined ? startMs : Number.NEGATIVE_INFINITY;

  function forgetOldest(): void {
    const oldest = entries.shift();
    if (!oldest) return;
    chars -= oldest.chars;
    taken = Math.max(taken - 1, 0);
    // A tab in the same millisecond may be owed it.
    completeFromMs = oldest.atMs + 1;
  }

  return {
    get end() {
      return end;
    },
    push(entry) {
      end = entry.after;
      const last = entries.at(-1);
      if (entry.kind === "moved" && last?.kind === "moved") {
        entries[entries.length - 1] = { ...entry, before: last.before };
        taken = Math.min(taken, entries.length - 1);
        return;
      }
      entries.push(entry);
      chars += entry.chars;
      while (
        entries.length > RECENT_ENTRIES_MAX ||
        (chars > RECENT_CHARS_MAX && entries.length > 1)
      ) {
        const { before } = entries[0] as Entry;
        // Who is at the place of a gap cannot be told from who has heard of it: they go together.
        do forgetOldest();
        while (entries.length > 1 && entries[0]?.before === before);
      }
    },
    peek: () => entries[taken],
    take() {
      taken += 1;
    },
    rejoin(place) {
      const oldest = entries[taken];
      if (oldest && reaches(place, oldest.before)) return true;
      if (!reaches(place, end)) return false;
      taken = entries.length;
      return true;
    },
    owed({ place, sinceMs }, term) {
      if (place === undefined) {
        return sinceMs >= completeFromMs
          ? entries.filter(({ atMs }) => atMs >= sinceMs)
          : undefined;
      }
      const from = entries.findIndex(({ before }) => reaches(place, before));
      if (from < 0) return reaches(place, end) ? [] : undefined;
      return entries.slice(from).filter((entry) => {
        if (entry.kind !== "gap") return !isRepeat(place, entry.after);
        // A tab that was ahead of the leader may have lost something too. Rather a gap too many.
        return entry.before === place || !reaches(place, entry.before) || entry.term === term;
      });
    },
    restart(place, nowMs) {
      entries = [];
      chars = taken = 0;
      end = place;
      completeFromMs = nowMs;
    },
  };
}
