"use client";

// A conversation on a topic of its own, by one hook with a connection of its own. Writing goes to a route
// that has a limit, and the form says how long to wait.

import { useRouter } from "next/navigation";
import { useState } from "react";
import { useRealTimeUpdates } from "tidings/react";
import { Detail, Heading } from "@/components/connection";
import { Time } from "@/components/time";
import { getToken, merged, withArrived } from "@/lib/live";
import type { Comment } from "@/lib/store";
import { Write } from "./write";

interface Props {
  tidingsUrl: string;
  userId: string;
  stored: Comment[];
}

export function Comments({ tidingsUrl, userId, stored }: Props) {
  const router = useRouter();
  const [arrived, setArrived] = useState<Comment[]>([]);
  const add = (comment: Comment) => setArrived((before) => withArrived(before, comment));
  const { state, isLoading, isConnected, updateMethod, lastUpdate } = useRealTimeUpdates({
    sseEndpoint: `${tidingsUrl}/api/sse`,
    pollingEndpoint: `${tidingsUrl}/api/polling`,
    topics: ["comments"],
    token: () => getToken(userId),
    rewind: "1m",
    eventHandlers: { comment: ({ data }) => add(data) },
    onGap: () => router.refresh(),
  });
  const comments = merged(arrived, stored);
  return (
    <>
      <Heading title="Comments" state={state}>
        A topic that the token grants, by one hook. Tidings counts how often each user writes.
      </Heading>
      <div className="columns">
        <Write onWritten={add} />
        <section className="card list">
          <div className="heading">
            <h2>Everyone’s</h2>
            <span className="quiet">newest first</span>
          </div>
          <ol id="comments" aria-live="polite">
            {comments.map(({ id, text, author, writtenAt }) => (
              <li key={id}>
                <span>{text}</span>
                <small>{author}</small>
                <Time at={writtenAt} />
              </li>
            ))}
          </ol>
          {comments.length === 0 && <p className="empty">Nobody has said anything yet.</p>}
        </section>
        <section className="card">
          <h2>Connection</h2>
          <Detail state={state} />
          <dl>
            <dt>isConnected</dt>
            <dd>{String(isConnected)}</dd>
            <dt>isLoading</dt>
            <dd>{String(isLoading)}</dd>
            <dt>updateMethod</dt>
            <dd>{updateMethod ?? "null"}</dd>
            <dt>lastUpdate</dt>
            <dd>{lastUpdate ? <Time at={lastUpdate.getTime()} /> : "null"}</dd>
          </dl>
        </section>
      </div>
    </>
  );
}
