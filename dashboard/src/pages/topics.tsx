// What the log holds, topic by topic; and of one topic, its newest events.

import type { Topics as Answer, Topic } from "../answers.ts";
import { useApi } from "../feed.tsx";
import { bytes, count, fromNow, NOTHING, plain, rate } from "../format.ts";
import { usePolled } from "../polled.ts";
import { hrefTo, type Route, replaceRoute } from "../route.ts";
import { Title } from "../title.tsx";
import { NewestEvents } from "../topics/newest-events.tsx";
import { Pages, usePaging } from "../ui/pages.tsx";
import { type Column, Table } from "../ui/table.tsx";

const EVERY_MS = 3_000;
const PAGE_SIZE = 50;
const SORTS = [
  ["rate", "events per second"],
  ["events", "events in the log"],
  ["bytes", "size"],
  ["listeners", "listeners"],
  ["name", "name"],
] as const;

export function Topics({ route: { query } }: { route: Route }) {
  const api = useApi();
  const { prefix, of } = query;
  const sort = SORTS.find(([name]) => name === query.sort)?.[0] ?? "rate";
  const paging = usePaging(JSON.stringify([prefix, sort]));
  const question = JSON.stringify([prefix, sort, paging.after]);
  const { data, error, loading } = usePolled(question, EVERY_MS, (signal) =>
    api<Answer>("/api/admin/topics", {
      query: { prefix, sort, limit: PAGE_SIZE, after: paging.after },
      signal,
    }),
  );
  const rows = data?.topics ?? [];
  if (of) return <NewestEvents topic={of} back={hrefTo("topics", { prefix, sort })} />;
  return (
    <>
      <Title name="Topics" />
      <search className="filters">
        <label>
          Begins with
          <input
            value={prefix ?? ""}
            onChange={(event) =>
              replaceRoute("topics", { sort, prefix: event.currentTarget.value })
            }
            placeholder="any"
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <label>
          Sorted by
          <select
            value={sort}
            onChange={(event) =>
              replaceRoute("topics", { prefix, sort: event.currentTarget.value })
            }
          >
            {SORTS.map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
      </search>
      {error && (
        <p className="notice bad" role="alert">
          {error}
        </p>
      )}
      <Table
        caption="Topics in the log"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ topic }) => topic}
        empty={loading ? "Loading" : "No topic in the log is like that."}
      />
      <Pages
        paging={paging}
        shown={rows.length}
        sizeMax={PAGE_SIZE}
        total={data?.total ?? 0}
        next={data?.next ?? null}
        noun="topics"
      />
    </>
  );
}

const COLUMNS: readonly Column<Topic>[] = [
  {
    name: "Topic",
    header: true,
    cell: ({ topic }) => (
      <a className="foreign mono" href={hrefTo("topics", { of: topic })}>
        {plain(topic)}
      </a>
    ),
  },
  { name: "Per second", number: true, cell: ({ eventsPerSec }) => rate(eventsPerSec) },
  { name: "Events", number: true, cell: ({ events }) => count(events) },
  { name: "Size", number: true, cell: (topic) => bytes(topic.bytes) },
  { name: "Listeners", number: true, cell: ({ listeners }) => count(listeners) },
  {
    name: "Newest",
    number: true,
    cell: ({ newestAt }) => (newestAt === null ? NOTHING : fromNow(newestAt, Date.now())),
  },
  {
    name: "Oldest",
    number: true,
    cell: ({ oldestAt }) => (oldestAt === null ? NOTHING : fromNow(oldestAt, Date.now())),
  },
  {
    name: "Actions",
    actions: true,
    cell: ({ topic }) => (
      <a
        className="button small"
        href={hrefTo("tail", { topic })}
        aria-label={`Watch ${plain(topic)}`}
      >
        Watch
      </a>
    ),
  },
];
