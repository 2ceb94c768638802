// One chart over time: lines on a canvas, drawn by uPlot in the colours of the page. It keeps its size whatever it
// shows; all charts of a group share the cursor. What it shows in words is its caller's.

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { clock } from "../format.ts";
import type { Columns } from "../history.ts";
import { onThemeChange } from "../theme.ts";

export type Tone = "accent" | "quiet" | "bad" | "warn";

export interface ChartProps {
  data: Columns;
  /** The colour of each line; the first of them is filled below. */
  tones: readonly Tone[];
  /** The stretch of time, in seconds since the Unix epoch. */
  from: number;
  to: number;
  /** What the axis says at a value. */
  label: (value: number) => string;
  /** The axis reaches to this value at least. */
  least: number;
  /** Whether the axis has whole numbers alone. */
  whole?: boolean;
  /** Everything about the lines that an eye sees, for whoever does not. */
  description: string;
  /** The place in the data under the pointer, and nothing when it leaves. */
  onHover: (index: number | null) => void;
}

const HEIGHT_PX = 132;
const AXIS_PX = 46;
const SHARED_CURSOR = "charts";
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => 10 ** power).flatMap((power) => [
  power,
  2 * power,
  5 * power,
]);

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const newest = useRef(props);
  newest.current = props;

  // Made once; what changes is read from `newest`.
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = make(element, newest);
    plot.current = made;
    const offTheme = onThemeChange(() => made.redraw());
    const sizes = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry?.contentRect.width ?? 0);
      if (width > 0 && width !== made.width) made.setSize({ width, height: HEIGHT_PX });
    });
    sizes.observe(element);
    return () => {
      offTheme();
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, []);

  const { data, from, to, description } = props;
  useEffect(() => {
    plot.current?.batch((made: uPlot) => {
      made.setData(data as uPlot.AlignedData, false);
      made.setScale("x", { min: from, max: to });
    });
  }, [data, from, to]);

  return <div ref={place} className="chart" role="img" aria-label={description} />;
}

function make(element: HTMLElement, newest: { readonly current: ChartProps }): uPlot {
  const { data, tones, whole } = newest.current;
  const colour = (name: string) => () => colourOf(element, name);
  const tick = { stroke: colour("--line"), width: 1, size: 4 };
  const axis = {
    stroke: colour("--quiet"),
    font: `11px ${getComputedStyle(element).fontFamily}`,
    ticks: tick,
  };
  const options: uPlot.Options = {
    width: Math.max(1, Math.floor(element.clientWidth)),
    height: HEIGHT_PX,
    padding: [8, 2, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, auto: false },
      y: {
        range: (_, __, max) => {
          const top = Math.max(newest.current.least, (max ?? 0) * 1.12);
          return [0, top];
        },
      },
    },
    axes: [
      {
        ...axis,
        size: 26,
        gap: 4,
        space: 68,
        grid: { show: false },
        values: (_, splits) => splits.map((secs) => timeLabel(secs, newest.current)),
      },
      {
        ...axis,
        size: AXIS_PX,
        gap: 6,
        space: 36,
        ticks: { show: false },
        grid: { stroke: colour("--line"), width: 1 },
        ...(whole ? { incrs: WHOLE_STEPS } : {}),
        values: (_, splits) => splits.map((value) => newest.current.label(value)),
      },
    ],
    cursor: {
      y: false,
      drag: { x: false, y: false },
      sync: { key: SHARED_CURSOR },
      points: { size: 6, width: 2, fill: colour("--sheet") },
    },
    series: [
      {},
      ...tones.map((tone, index) => ({
        stroke: colour(`--${tone}`),
        width: 1.5,
        ...(index === 0 ? { fill: colour(`--${tone}-wash`) } : {}),
        points: { filter: lonely, size: 4, fill: colour(`--${tone}`), width: 0 },
      })),
    ],
    hooks: {
      setCursor: [(made) => newest.current.onHover(made.cursor.idx ?? null)],
    },
  };
  return new uPlot(options, data as uPlot.AlignedData, element);
}

/** A value between two holes makes no line; it is shown as a point. */
function lonely(made: uPlot, series: number): number[] {
  const values = made.data[series] ?? [];
  const found: number[] = [];
  for (let index = 0; index < values.length; index += 1) {
    const alone = values[index - 1] == null && values[index + 1] == null;
    if (values[index] != null && alone) found.push(index);
  }
  return found;
}

function timeLabel(secs: number, { from, to }: ChartProps): string {
  return clock(secs * 1000, to - from <= 300 ? "seconds" : "minutes");
}

/** What a colour of the page is at the moment; a canvas knows no names. */
function colourOf(element: HTMLElement, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}
