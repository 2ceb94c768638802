// Events as rows, newest on top: time, topics, type, and data as the text it is. Nothing of an event becomes markup,
// and long data is cut until asked for.

import { memo, useState } from "react";
import { clock, count, NOTHING, plain, shortened } from "../format.ts";

/** Characters of an event's data that are shown at first. */
const DATA_CHARS_SHOWN = 1_000;

export interface ShownEvent {
  readonly id: string;
  readonly type: string;
  readonly topics: readonly string[];
  readonly time: number | undefined;
  readonly data: string;
  /** Not an event, but a place where events are missing: why. */
  readonly gap?: string;
}

export function EventList(props: { label: string; events: readonly ShownEvent[]; empty: string }) {
  const { label, events, empty } = props;
  return (
    <div className="sheet events">
      <div className="event-names" aria-hidden="true">
        <span>Time</span>
        <span>Topics</span>
        <span>Type</span>
        <span>Data</span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard. */}
      <ol aria-label={label} tabIndex={0}>
        {events.map((event) => (
          <EventRow key={event.id} event={event} />
        ))}
      </ol>
      {events.length === 0 && <p className="empty">{empty}</p>}
    </div>
  );
}

const EventRow = memo(function EventRow({ event }: { event: ShownEvent }) {
  const { id, type, topics, time, data, gap } = event;
  const [whole, setWhole] = useState(false);
  if (gap !== undefined) return <li className="gap">{gap}</li>;
  const [text, left] = whole ? [data, 0] : shortened(data, DATA_CHARS_SHOWN);
  return (
    <li title={id}>
      <time>{time === undefined ? NOTHING : clock(time, "milliseconds")}</time>
      <span className="foreign">{plain(topics.join(", "))}</span>
      <b className="foreign">{plain(type)}</b>
      <pre className="foreign">
        {plain(text)}
        {left > 0 && (
          <button type="button" className="plain" onClick={() => setWhole(true)}>
            {count(left)} more characters
          </button>
        )}
      </pre>
    </li>
  );
});
