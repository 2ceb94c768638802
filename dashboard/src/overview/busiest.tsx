// Who and what is busiest: users and types by what was delivered and published since the last look, topics by their
// rate. Each list has its full length from the start, so that nothing moves when the numbers come.

import { useRef } from "react";
import type { Counts, Metrics, Topics } from "../answers.ts";
import { useApi } from "../feed.tsx";
import { count, plain, rate } from "../format.ts";
import { type Polled, usePolled } from "../polled.ts";
import { hrefTo } from "../route.ts";
import { type Ranked, ranked } from "./ranking.ts";

const EVERY_MS = 3_000;
export const LISTED_MAX = 8;

export function Busiest() {
  const api = useApi();
  const metrics = usePolled("metrics", EVERY_MS, (signal) =>
    api<Metrics>("/api/admin/sse-metrics", { signal }),
  );
  const topics = usePolled("topics", EVERY_MS, (signal) =>
    api<Topics>("/api/admin/topics", { query: { sort: "rate", limit: LISTED_MAX }, signal }),
  );
  const { byUser, byType } = metrics.data?.metrics.events ?? {};
  const connections = metrics.data?.metrics.connections.byUser;
  const at = metrics.data && Date.parse(metrics.data.timestamp);
  const users = useRanking(byUser, at);
  const types = useRanking(byType, at);
  const topicRows = topics.data?.topics.map(
    ({ topic, eventsPerSec, events }): Ranked => ({
      name: topic,
      perSec: eventsPerSec,
      total: events,
    }),
  );
  const ofUser = (name: string) => ({
    href: hrefTo("connections", { user: name }),
    detail: `${count(connections?.[name] ?? 0)} open`,
  });
  const ofTopic = (name: string) => ({ href: hrefTo("tail", { topic: name }) });
  return (
    <div className="sheet lists">
      <RankedList
        title="Busiest users"
        total="delivered"
        rows={users}
        from={metrics}
        about={ofUser}
      />
      <RankedList
        title="Busiest topics"
        total="in the log"
        rows={topicRows}
        from={topics}
        about={ofTopic}
      />
      <RankedList title="Busiest types" total="published" rows={types} from={metrics} />
    </div>
  );
}

/** Rates by the difference to what was there at the look before. */
function useRanking(counts: Counts | undefined, at: number | undefined): Ranked[] | undefined {
  const memory = useRef<{ at: number; counts: Counts; rows: Ranked[] }>(null);
  if (!counts || at === undefined) return undefined;
  if (memory.current?.at !== at) {
    const rows = ranked(counts, memory.current, at, LISTED_MAX);
    memory.current = { at, counts, rows };
  }
  return memory.current.rows;
}

function RankedList(props: {
  title: string;
  total: string;
  rows: Ranked[] | undefined;
  from: Polled<unknown>;
  about?: (name: string) => { href?: string; detail?: string };
}) {
  const { title, total, rows, from, about } = props;
  const most = Math.max(0, ...(rows ?? []).map(({ perSec }) => perSec ?? 0));
  return (
    <section className="ranked" aria-label={title}>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">
              <span className="unseen">Name</span>
            </th>
            <th scope="col">per second</th>
            <th scope="col">{total}</th>
          </tr>
        </thead>
        <tbody>
          {(rows ?? []).map((row) => {
            const { href, detail } = row.name === "(other)" ? {} : (about?.(row.name) ?? {});
            return (
              <tr key={row.name}>
                <th scope="row">
                  <i
                    className="bar"
                    aria-hidden="true"
                    style={{ width: `${most ? ((row.perSec ?? 0) / most) * 100 : 0}%` }}
                  />
                  {href ? <a href={href}>{plain(row.name)}</a> : <span>{plain(row.name)}</span>}
                  {detail && <small>{detail}</small>}
                </th>
                <td>{rate(row.perSec)}</td>
                <td>{count(row.total)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {!rows?.length && (
        <p className="empty">{from.error ?? (rows ? "Nobody and nothing yet" : "Loading")}</p>
      )}
    </section>
  );
}
