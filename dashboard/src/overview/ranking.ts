// Which of many counters grow fastest, from two looks at them. Plain arithmetic; it knows nothing of what is counted.

import type { Counts } from "../answers.ts";

export interface Ranked {
  readonly name: string;
  /** Nothing before the second look. */
  readonly perSec: number | null;
  readonly total: number;
}

interface Look {
  readonly at: number;
  readonly counts: Counts;
}

/** The fastest first; of equal ones, those that have grown most in all. */
export function ranked(counts: Counts, before: Look | null, atMs: number, max: number): Ranked[] {
  const secs = before ? (atMs - before.at) / 1000 : 0;
  const perSec = (name: string, total: number) => {
    if (!before || secs <= 0) return null;
    const last = Object.hasOwn(before.counts, name) ? (before.counts[name] ?? 0) : 0;
    // A counter that fell is one that began anew, with the server.
    return (total >= last ? total - last : total) / secs;
  };
  return Object.entries(counts)
    .map(([name, total]) => ({ name, total, perSec: perSec(name, total) }))
    .sort((a, b) => (b.perSec ?? 0) - (a.perSec ?? 0) || b.total - a.total)
    .slice(0, max);
}
