// The events of some topics as they are published, with a way to hold them still, and to look for a text in them.

import { type FormEvent, useEffect, useMemo, useState } from "react";
import type { State } from "tidings";
import { count } from "../format.ts";
import { type Route, replaceRoute } from "../route.ts";
import { EventList, type ShownEvent } from "../tail/event-list.tsx";
import { useWatched } from "../tail/watch.ts";
import { Title } from "../title.tsx";

const ROWS_MAX = 200;
const STARTS = [
  ["0", "now"],
  ["100", "100 events ago"],
  ["all", "the oldest event"],
] as const;

export function Tail({ route: { query } }: { route: Route }) {
  const watched = query.topic || "**";
  const rewind = STARTS.find(([value]) => value === query.from)?.[0] ?? "100";
  const wish = useMemo(() => ({ topics: listed(watched), rewind }), [watched, rewind]);
  const { buffer, state, version, clear } = useWatched(wish);
  const [filter, setFilter] = useState("");
  const [held, setHeld] = useState<{ rows: ShownEvent[]; added: number }>();
  // Something else is shown, and not held yet.
  useEffect(() => setHeld(undefined), [wish]);

  // `version` says that the buffer changed.
  const newest = useMemo(() => buffer.newest(filter, ROWS_MAX), [buffer, filter, version]);
  const rows = held?.rows ?? newest;
  const pause = () =>
    setHeld(held ? undefined : { rows: buffer.newest(filter, ROWS_MAX), added: buffer.added });
  const missed = held ? buffer.added - held.added : 0;

  return (
    <>
      <Title name="Tail" />
      <WatchForm key={`${watched} ${rewind}`} topic={watched} rewind={rewind} />
      <div className="tail-tools">
        <label>
          <span className="unseen">Show only what contains</span>
          <input
            type="search"
            value={filter}
            onChange={(event) => {
              setFilter(event.currentTarget.value);
              setHeld(undefined);
            }}
            placeholder="Show only what contains"
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="button" className="pause" aria-pressed={held !== undefined} onClick={pause}>
          {held ? `Go on (${count(missed)} new)` : "Pause"}
        </button>
        <button
          type="button"
          onClick={() => {
            clear();
            setHeld(undefined);
          }}
        >
          Clear
        </button>
        <p className="hint">
          {count(buffer.size)} kept, {count(rows.length)} shown
        </p>
      </div>
      <TailState state={state} />
      <EventList
        label="Events, newest first"
        events={rows}
        empty={
          filter && buffer.size > 0
            ? "Nothing that is kept contains this."
            : "Nothing yet. Events show here as they are published."
        }
      />
    </>
  );
}

function WatchForm({ topic, rewind }: { topic: string; rewind: string }) {
  const [topics, setTopics] = useState(topic);
  const [from, setFrom] = useState(rewind);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    replaceRoute("tail", { topic: listed(topics).join(",") || "**", from });
  };
  return (
    <form className="filters watch" onSubmit={submit}>
      <label>
        Topics or patterns
        <input
          className="mono"
          value={topics}
          onChange={(event) => setTopics(event.currentTarget.value)}
          placeholder="**"
          autoComplete="off"
          spellCheck={false}
        />
      </label>
      <label>
        Beginning with
        <select value={from} onChange={(event) => setFrom(event.currentTarget.value)}>
          {STARTS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" className="primary">
        Watch
      </button>
    </form>
  );
}

/** The tail has a stream of its own; only what is wrong with it is said. */
function TailState({ state }: { state: State }) {
  const error = "error" in state ? state.error : undefined;
  return (
    <p className={error ? "notice bad" : "unseen"} role="status">
      {error?.message ?? (state.status === "open" ? "Watching" : "")}
    </p>
  );
}

/** Neither topics nor patterns contain a comma. */
function listed(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
}
