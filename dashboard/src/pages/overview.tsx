// What the server does, at a glance: six figures with their history, who and what is busiest, and how the parts that
// hold it up are doing.

import { useMemo, useState } from "react";
import { useTidingsState } from "tidings/react";
import type { Sample } from "../answers.ts";
import { useFeed } from "../feed.tsx";
import { count, milliseconds, rate } from "../format.ts";
import { inRange, RANGES, type Range } from "../history.ts";
import { Busiest } from "../overview/busiest.tsx";
import { Foundations } from "../overview/foundations.tsx";
import { Title } from "../title.tsx";
import { type Line, type Note, Panel } from "../ui/panel.tsx";

const perSecond = (value: number | null): [string, string] => [rate(value), "/s"];
const number = (value: number | null): [string, string] => [count(value), ""];

interface Shown {
  title: string;
  lines: readonly Line[];
  notes?: readonly Note[];
  label: (value: number) => string;
  least: number;
  whole?: boolean;
}

const PANELS: readonly Shown[] = [
  {
    title: "Connections",
    lines: [{ name: "active", tone: "accent", value: (s) => s.connections.active, show: number }],
    notes: [
      { name: "peak", show: (s: Sample) => count(s.connections.peak) },
      { name: "since the start", show: (s: Sample) => count(s.connections.total) },
    ],
    label: axisCount,
    least: 4,
    whole: true,
  },
  {
    title: "Events published",
    lines: [
      { name: "now", tone: "accent", value: (s) => s.events.publishedPerSec, show: perSecond },
    ],
    notes: [{ name: "since the start", show: (s: Sample) => count(s.events.published) }],
    label: axisCount,
    least: 4,
  },
  {
    title: "Events delivered",
    lines: [
      { name: "now", tone: "accent", value: (s) => s.events.deliveredPerSec, show: perSecond },
    ],
    notes: [{ name: "since the start", show: (s: Sample) => count(s.events.delivered) }],
    label: axisCount,
    least: 4,
  },
  {
    title: "Fan-out time",
    lines: [
      { name: "median", tone: "accent", value: (s) => s.fanOutMs.p50, show: milliseconds },
      { name: "99th percentile", tone: "quiet", value: (s) => s.fanOutMs.p99, show: milliseconds },
    ],
    label: axisMilliseconds,
    least: 0.5,
  },
  {
    title: "Errors",
    lines: [{ name: "now", tone: "bad", value: (s) => s.errors.perSec, show: perSecond }],
    notes: [{ name: "since the start", show: (s: Sample) => count(s.errors.total) }],
    label: axisCount,
    least: 2,
  },
  {
    title: "Gaps",
    lines: [{ name: "now", tone: "warn", value: (s) => s.gaps.perSec, show: perSecond }],
    notes: [{ name: "since the start", show: (s: Sample) => count(s.gaps.total) }],
    label: axisCount,
    least: 2,
  },
];

export function Overview() {
  const { history, newest, loaded, error } = useFeed();
  const [range, setRange] = useState<Range>(RANGES[0]);
  const nowMs = newest?.timestamp ?? Date.now();
  const { status } = useTidingsState();
  const isStale = status === "retrying" || status === "closed";
  const samples = useMemo(() => inRange(history, range, nowMs), [history, range, nowMs]);
  return (
    <>
      <Title name="Overview">
        <RangeChoice range={range} choose={setRange} />
      </Title>
      {error && (
        <p className="notice bad" role="alert">
          The numbers of the past could not be read: {error}
        </p>
      )}
      <div className={isStale ? "sheet panels stale" : "sheet panels"}>
        {PANELS.map((panel) => (
          <Panel
            key={panel.title}
            {...panel}
            samples={samples}
            range={range}
            nowMs={nowMs}
            loaded={loaded}
          />
        ))}
      </div>
      <Foundations newest={newest} />
      <Busiest />
    </>
  );
}

function RangeChoice({ range, choose }: { range: Range; choose: (range: Range) => void }) {
  return (
    <fieldset className="choice">
      <legend className="unseen">Time shown</legend>
      {RANGES.map((offered) => (
        <label key={offered.secs}>
          <input
            type="radio"
            name="range"
            checked={offered.secs === range.secs}
            onChange={() => choose(offered)}
          />
          <span>{offered.name}</span>
        </label>
      ))}
    </fieldset>
  );
}

function axisMilliseconds(value: number): string {
  if (value >= 1000) return `${Number((value / 1000).toPrecision(3))} s`;
  return value === 0 ? "0" : `${Number(value.toPrecision(3))} ms`;
}

/** Room is short beside a chart: `1.2k`, `25k`, `3M`. */
function axisCount(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toFixed(1))}M`;
  if (value >= 1e3) return `${Number((value / 1e3).toFixed(1))}k`;
  return String(Number(value.toFixed(1)));
}
