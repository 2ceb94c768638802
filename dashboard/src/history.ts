// What the server measured over the last hours, kept as the server keeps it: each second of the last ten minutes,
// and each ten seconds of the last six hours. Plain functions over samples; it knows neither network nor charts.

import type { Percentiles, Sample } from "./answers.ts";

/** The stretches of time that can be looked at, and how long one point in each lasts. */
export const RANGES = [
  { secs: 300, everySecs: 1, name: "5 min", words: "5 minutes" },
  { secs: 900, everySecs: 10, name: "15 min", words: "15 minutes" },
  { secs: 3_600, everySecs: 10, name: "1 h", words: "hour" },
  { secs: 21_600, everySecs: 60, name: "6 h", words: "6 hours" },
] as const;

export type Range = (typeof RANGES)[number];

const FINE_SECS = 600;
export const COARSE_EVERY_SECS = 10;
const COARSE_SECS = 21_600;

/** Oldest first. The newest of `coarse` may still be growing. */
export interface History {
  readonly fine: readonly Sample[];
  readonly coarse: readonly Sample[];
}

export const NO_HISTORY: History = { fine: [], coarse: [] };

/** What the server remembers, in the place of what we do. */
export function fromServer(fine: readonly Sample[], coarse: readonly Sample[]): History {
  const byTime = (samples: readonly Sample[]) =>
    [...samples].sort((a, b) => a.timestamp - b.timestamp);
  const history = { fine: byTime(fine), coarse: byTime(coarse) };
  // Seconds that the server has not yet put together are the beginning of the next ten.
  const reached = history.coarse.at(-1)?.timestamp ?? 0;
  const rest = history.fine.filter(({ timestamp }) => timestamp > reached);
  return trimmed({
    fine: history.fine,
    coarse: [...history.coarse, ...bucketed(rest, COARSE_EVERY_SECS)],
  });
}

/** The server writes 0 where nothing was measured; a chart must not draw that as very fast. */
export function measured(sample: Sample): Sample {
  const known = (percentiles: Percentiles): Percentiles =>
    percentiles.p99 === 0 ? { p50: null, p99: null } : percentiles;
  const { fanOutMs, publishToSocketMs } = sample;
  return {
    ...sample,
    fanOutMs: known(fanOutMs),
    publishToSocketMs: known(publishToSocketMs),
  };
}

/** With one more second. A sample that is not newer than the newest changes nothing. */
export function withSample(history: History, sample: Sample): History {
  const newest = history.fine.at(-1);
  if (newest && sample.timestamp <= newest.timestamp) return history;
  const open = history.coarse.at(-1);
  const grows = open && sameBucket(open, sample, COARSE_EVERY_SECS);
  const since = grows ? bucketStart(sample, COARSE_EVERY_SECS) : 0;
  const fine = [...history.fine, sample];
  const coarse = grows
    ? [...history.coarse.slice(0, -1), together(newestSince(fine, since))]
    : [...history.coarse, sample];
  return trimmed({ fine, coarse });
}

function trimmed({ fine, coarse }: History): History {
  const newest = fine.at(-1)?.timestamp ?? coarse.at(-1)?.timestamp ?? 0;
  const within = (secs: number) => (sample: Sample) => sample.timestamp > newest - secs * 1000;
  return { fine: fine.filter(within(FINE_SECS)), coarse: coarse.filter(within(COARSE_SECS)) };
}

/** The samples of a range, put together so that there are a few hundred of them at most. */
export function inRange(history: History, range: Range, nowMs: number): Sample[] {
  const source = range.everySecs < COARSE_EVERY_SECS ? history.fine : history.coarse;
  const since = nowMs - range.secs * 1000;
  return bucketed(
    source.filter(({ timestamp }) => timestamp >= since),
    range.everySecs,
  );
}

/** One sample for each interval in which there are any. */
export function bucketed(samples: readonly Sample[], everySecs: number): Sample[] {
  const buckets: Sample[][] = [];
  for (const sample of samples) {
    const bucket = buckets.at(-1);
    const first = bucket?.[0];
    if (bucket && first && sameBucket(first, sample, everySecs)) bucket.push(sample);
    else buckets.push([sample]);
  }
  return buckets.map(together);
}

function bucketStart({ timestamp }: Sample, everySecs: number): number {
  return Math.floor(timestamp / (everySecs * 1000)) * everySecs * 1000;
}

function sameBucket(a: Sample, b: Sample, everySecs: number): boolean {
  return bucketStart(a, everySecs) === bucketStart(b, everySecs);
}

function newestSince(samples: readonly Sample[], sinceMs: number): Sample[] {
  const begin = samples.findLastIndex(({ timestamp }) => timestamp < sinceMs) + 1;
  return samples.slice(begin);
}

/**
 * One sample for several. Rates are averaged; connections, the slow percentile and the process show their worst, so
 * that a short peak is seen however wide the view; counters are the newest.
 */
export function together(samples: readonly Sample[]): Sample {
  const newest = samples.at(-1);
  if (!newest) throw new RangeError("no samples to put together");
  if (samples.length === 1) return newest;
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const most = (of: (sample: Sample) => number) => Math.max(...samples.map(of));
  const percentiles = (of: (sample: Sample) => Percentiles): Percentiles => ({
    p50: meanOf(samples.map((sample) => of(sample).p50)),
    p99: mostOf(samples.map((sample) => of(sample).p99)),
  });
  return {
    ...newest,
    connections: { ...newest.connections, active: most((sample) => sample.connections.active) },
    events: {
      ...newest.events,
      publishedPerSec: mean((sample) => sample.events.publishedPerSec),
      deliveredPerSec: mean((sample) => sample.events.deliveredPerSec),
    },
    fanOutMs: percentiles((sample) => sample.fanOutMs),
    publishToSocketMs: percentiles((sample) => sample.publishToSocketMs),
    errors: { ...newest.errors, perSec: mean((sample) => sample.errors.perSec) },
    gaps: { ...newest.gaps, perSec: mean((sample) => sample.gaps.perSec) },
    process: {
      residentBytes: most((sample) => sample.process.residentBytes),
      cpuPercent: mean((sample) => sample.process.cpuPercent),
    },
  };
}

function known(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function meanOf(values: readonly (number | null)[]): number | null {
  const numbers = known(values);
  return numbers.length ? numbers.reduce((sum, value) => sum + value, 0) / numbers.length : null;
}

function mostOf(values: readonly (number | null)[]): number | null {
  const numbers = known(values);
  return numbers.length ? Math.max(...numbers) : null;
}

/** What a chart draws: times in seconds, and a row of values for each line. */
export type Columns = [times: number[], ...lines: (number | null)[][]];

/** Where samples are missing, a line is broken rather than drawn across. */
export function columns(
  samples: readonly Sample[],
  everySecs: number,
  lines: readonly ((sample: Sample) => number | null)[],
): Columns {
  const times: number[] = [];
  const values: (number | null)[][] = lines.map(() => []);
  const holeMs = everySecs * 2500;
  let before: number | undefined;
  for (const sample of samples) {
    if (before !== undefined && sample.timestamp - before > holeMs) {
      times.push((before + everySecs * 1000) / 1000);
      for (const row of values) row.push(null);
    }
    before = sample.timestamp;
    times.push(sample.timestamp / 1000);
    for (const [index, line] of lines.entries()) values[index]?.push(line(sample));
  }
  return [times, ...values];
}
