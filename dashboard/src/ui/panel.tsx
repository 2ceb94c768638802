// A figure and its history: the number as it is now, large, and the chart of how it came to be. While the pointer is
// over a chart the figures are those of that moment.

import { type ReactNode, useMemo, useState } from "react";
import type { Sample } from "../answers.ts";
import { clock, NOTHING } from "../format.ts";
import { columns, type Range } from "../history.ts";
import { Chart, type Tone } from "./chart.tsx";

export interface Line {
  name: string;
  tone: Tone;
  value: (sample: Sample) => number | null;
  /** Its figure and unit. */
  show: (value: number | null) => [figure: string, unit: string];
}

/** What stands beside the figures of the lines. */
export interface Note {
  name: string;
  show: (sample: Sample) => string;
}

export interface PanelProps {
  title: string;
  lines: readonly Line[];
  notes?: readonly Note[];
  samples: readonly Sample[];
  range: Range;
  nowMs: number;
  loaded: boolean;
  least: number;
  whole?: boolean;
  label: (value: number) => string;
}

export function Panel(props: PanelProps) {
  const { title, lines, notes = [], samples, range, nowMs, loaded, label, least, whole } = props;
  const [hovered, setHovered] = useState<number | null>(null);
  const data = useMemo(
    () =>
      columns(
        samples,
        range.everySecs,
        lines.map(({ value }) => value),
      ),
    [samples, range, lines],
  );
  const at = hovered === null ? undefined : data[0][hovered];
  const newest = samples.at(-1);
  const values = lines.map((line, index) => {
    if (at !== undefined && hovered !== null) return data[index + 1]?.[hovered] ?? null;
    return newest ? line.value(newest) : null;
  });
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span className="moment" aria-hidden="true">
          {at === undefined ? "" : clock(at * 1000)}
        </span>
      </header>
      <dl className="figures">
        {lines.map((line, index) => (
          <Figure
            key={line.name}
            line={line}
            name={at !== undefined && line.name === "now" ? "then" : line.name}
            value={values[index] ?? null}
          />
        ))}
        {notes.map(({ name, show }) => (
          <div key={name} className="note">
            <dt>{name}</dt>
            <dd>{newest ? show(newest) : NOTHING}</dd>
          </div>
        ))}
      </dl>
      <div className="plot">
        <Chart
          data={data}
          tones={lines.map(({ tone }) => tone)}
          from={nowMs / 1000 - range.secs}
          to={nowMs / 1000}
          label={label}
          least={least}
          {...(whole ? { whole } : {})}
          description={describe(title, lines, samples, range)}
          onHover={setHovered}
        />
        {samples.length === 0 && (
          <p className="plot-empty">{loaded ? "Nothing measured yet" : "Loading"}</p>
        )}
      </div>
    </section>
  );
}

function Figure(props: { line: Line; name: string; value: number | null }): ReactNode {
  const { line, name, value } = props;
  const [figure, unit] = line.show(value);
  return (
    <div className="figure" data-tone={line.tone}>
      <dt>
        <i aria-hidden="true" />
        {name}
      </dt>
      <dd>
        {figure}
        {unit && <small> {unit}</small>}
      </dd>
    </div>
  );
}

/** The chart in a sentence. */
function describe(
  title: string,
  lines: readonly Line[],
  samples: readonly Sample[],
  range: Range,
): string {
  const parts = lines.map(({ name, value, show }) => {
    const values = samples.map(value).filter((number) => number !== null);
    if (values.length === 0) return `${name}: nothing measured`;
    const words = (number: number) => show(number).join(" ").trim();
    return `${name}: between ${words(Math.min(...values))} and ${words(Math.max(...values))}`;
  });
  return `${title}, the last ${range.words}. ${parts.join(". ")}.`;
}
