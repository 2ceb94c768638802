"use client";

// Notifications by nothing but requests that are answered at once, for networks where no stream lives. The
// events, their order and the cursor are those of the stream.

import { useState } from "react";
import type { TidingsEvent } from "tidings";
import { usePollingFallback } from "tidings/react";
import { Detail, Heading } from "@/components/connection";
import { Time } from "@/components/time";
import { getToken } from "@/lib/live";
import type { Notification } from "@/lib/store";

const INTERVAL_MS = 5_000;
const SHOWN_MAX = 50;

export function Polling({ tidingsUrl, userId }: { tidingsUrl: string; userId: string }) {
  const [updates, setUpdates] = useState<TidingsEvent<Notification>[]>([]);
  const { state, lastUpdate, isPolling, error } = usePollingFallback({
    endpoint: `${tidingsUrl}/api/polling`,
    interval: INTERVAL_MS,
    token: () => getToken(userId),
    rewind: 20,
    onUpdate: (event) =>
      setUpdates((before) => [event as TidingsEvent<Notification>, ...before].slice(0, SHOWN_MAX)),
  });
  return (
    <>
      <Heading title="Polling" state={state}>
        What the stream would bring, by plain requests: for networks where no stream lives.
      </Heading>
      <div className="columns">
        <section className="card">
          <h2>Connection</h2>
          <Detail state={state} />
          <dl>
            <dt>isPolling</dt>
            <dd>{String(isPolling)}</dd>
            <dt>lastUpdate</dt>
            <dd>{lastUpdate ? <Time at={lastUpdate.getTime()} /> : "null"}</dd>
            <dt>error</dt>
            <dd>{error?.message ?? "null"}</dd>
          </dl>
        </section>
        <section className="card list">
          <div className="heading">
            <h2>Updates</h2>
            <span className="quiet">newest first</span>
          </div>
          <ol id="updates" aria-live="polite">
            {updates.map(({ id, data, topics, time }) => (
              <li key={id}>
                <span>{data.title}</span>
                <small>{topics.join(", ")}</small>
                {time !== undefined && <Time at={time} />}
              </li>
            ))}
          </ol>
          {updates.length === 0 && (
            <p className="empty">Nothing yet. Send yourself a notification, then come back.</p>
          )}
        </section>
      </div>
    </>
  );
}
