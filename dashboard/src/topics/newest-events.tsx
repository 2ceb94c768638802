// The newest events of one topic, a page at a time, as the log has them.

import type { StoredEvent, StoredEvents } from "../answers.ts";
import { useApi } from "../feed.tsx";
import { plain } from "../format.ts";
import { usePolled } from "../polled.ts";
import { hrefTo } from "../route.ts";
import { EventList, type ShownEvent } from "../tail/event-list.tsx";
import { Title } from "../title.tsx";
import { usePaging } from "../ui/pages.tsx";

const EVERY_MS = 5_000;
const PAGE_SIZE = 50;

export function NewestEvents({ topic, back }: { topic: string; back: string }) {
  const api = useApi();
  const paging = usePaging(topic);
  const { data, error, loading } = usePolled(
    JSON.stringify([topic, paging.after]),
    EVERY_MS,
    (signal) =>
      api<StoredEvents>(`/api/admin/topics/${encodeURIComponent(topic)}/events`, {
        query: { limit: PAGE_SIZE, before: paging.after },
        signal,
      }),
  );
  return (
    <>
      <Title name="Topics" />
      <div className="crumb">
        <a href={back}>All topics</a>
        <h2 className="foreign mono">{plain(topic)}</h2>
        <a href={hrefTo("tail", { topic })}>Watch it live</a>
      </div>
      {error && (
        <p className="notice bad" role="alert">
          {error}
        </p>
      )}
      <EventList
        label={`The newest events of ${plain(topic)}`}
        events={(data?.events ?? []).map(shown)}
        empty={loading ? "Loading" : "The log holds no event of this topic."}
      />
      <nav className="pages" aria-label="Pages">
        <button
          type="button"
          className="small"
          disabled={paging.pages.length === 0}
          onClick={paging.back}
        >
          Newer
        </button>
        <button
          type="button"
          className="small"
          disabled={!data?.next}
          onClick={() => data?.next && paging.next(data.next)}
        >
          Older
        </button>
      </nav>
    </>
  );
}

function shown({ id, type, topics, data, text, timestamp }: StoredEvent): ShownEvent {
  return { id, type, topics, time: timestamp, data: text ?? JSON.stringify(data) };
}
