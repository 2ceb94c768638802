// The last hours of numbers: what is put together loses no peak, and what is missing stays missing.

import { expect, test } from "vitest";
import {
  bucketed,
  columns,
  fromServer,
  inRange,
  measured,
  NO_HISTORY,
  RANGES,
  together,
  withSample,
} from "../src/history.ts";
import { SECOND, START, sample } from "./sample.ts";

const run = (from: number, to: number, active = (second: number) => second) =>
  Array.from({ length: to - from }, (_, index) => sample(from + index, active(from + index)));

test("a second that was higher than all others is still the highest of six hours", () => {
  const peaked = run(0, 21_600, (second) => (second === 4_321 ? 999 : 10));
  const coarse = fromServer(peaked.slice(-600), bucketed(peaked, 10));
  const shown = inRange(coarse, RANGES[3], START + 21_600 * SECOND);
  expect(shown.length).toBeLessThanOrEqual(361);
  expect(Math.max(...shown.map(({ connections }) => connections.active))).toBe(999);
});

test("rates are averaged, counters are the newest, and seconds without events do not count", () => {
  const one = together([
    sample(0, 10, null),
    sample(1, 20, 8),
    sample(2, 60, 4),
    sample(3, 30, null),
  ]);
  expect(one.events.publishedPerSec).toBe(30);
  expect(one.events.published).toBe(3);
  expect(one.connections.active).toBe(60);
  expect(one.fanOutMs).toEqual({ p50: 3, p99: 8 });
  expect(one.publishToSocketMs).toEqual({ p50: null, p99: null });
});

test("seconds add up to the same tens whether they came one by one or were remembered", () => {
  const all = run(0, 1_234);
  const live = all.reduce(withSample, NO_HISTORY);
  expect(live.fine.length).toBe(600);
  expect(live.coarse).toEqual(bucketed(all, 10));
  const remembered = fromServer(all.slice(-600), bucketed(all, 10));
  expect(remembered).toEqual(live);
});

test("a percentile of nothing is no percentile", () => {
  expect(measured(sample(0, 1, 0)).fanOutMs).toEqual({ p50: null, p99: null });
  expect(measured(sample(0, 1, 2)).fanOutMs).toEqual({ p50: 1, p99: 2 });
});

test("what arrives twice, or late, is counted once", () => {
  const once = run(0, 30).reduce(withSample, NO_HISTORY);
  expect(withSample(once, sample(29, 5))).toBe(once);
  expect(withSample(once, sample(12, 5))).toBe(once);
});

test("seconds that the server has not put together yet are not lost", () => {
  const all = run(0, 25);
  const history = fromServer(all, bucketed(all.slice(0, 20), 10));
  expect(history.coarse.map(({ events }) => events.published)).toEqual([9, 19, 24]);
});

test("a line is broken where samples are missing, and only there", () => {
  const holed = [...run(0, 3), ...run(8, 10)];
  const [times, values] = columns(holed, 1, [(one) => one.connections.active]);
  expect(times.map((secs) => secs - START / 1000)).toEqual([0, 1, 2, 3, 8, 9]);
  expect(values).toEqual([0, 1, 2, null, 8, 9]);
  // A sample that was a moment late makes no hole.
  const late = [sample(0, 1), sample(2, 1), sample(3, 1)];
  expect(columns(late, 1, [(one) => one.connections.active])[1]).toEqual([1, 1, 1]);
});

test("a range begins where it should, and history stays bounded", () => {
  const history = run(0, 2_000).reduce(withSample, NO_HISTORY);
  const now = START + 1_999 * SECOND;
  const first = inRange(history, RANGES[0], now)[0];
  expect(first?.timestamp).toBe(now - 300 * SECOND);
  expect(history.fine.length).toBe(600);
});
