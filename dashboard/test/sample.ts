// A second of a server's numbers, as simple as it can be.

import type { Sample } from "../src/answers.ts";

export const SECOND = 1000;
export const START = 1_795_458_000_000;

export function sample(atSecs: number, active = 0, p99: number | null = 1): Sample {
  return {
    node: "live-1",
    timestamp: START + atSecs * SECOND,
    connections: { active, peak: active, total: atSecs },
    events: { published: atSecs, delivered: atSecs, publishedPerSec: active, deliveredPerSec: 0 },
    fanOutMs: { p50: p99 === null ? null : p99 / 2, p99 },
    publishToSocketMs: { p50: null, p99: null },
    errors: { total: 0, perSec: 0 },
    gaps: { total: 0, perSec: 0 },
    log: { events: atSecs, bytes: 0, topics: 0, oldestAgeSecs: 0 },
    broker: { kind: "memory", status: "ok" },
    process: { residentBytes: active, cpuPercent: 0 },
  };
}
