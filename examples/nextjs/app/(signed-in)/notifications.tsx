"use client";

// Notifications below one provider: what was stored when the page was rendered, and each one that arrives.
// After a gap the page is rendered anew; the store knows what the stream has missed.

import { useRouter } from "next/navigation";
import { useActionState, useState } from "react";
import { TidingsProvider, useEvent, useLastEvent, useTidingsState } from "tidings/react";
import { notifyAction } from "@/app/actions";
import { Detail, Heading } from "@/components/connection";
import { Time } from "@/components/time";
import { getToken, merged, withArrived } from "@/lib/live";
import type { Notification } from "@/lib/store";
import type { DemoUser } from "@/lib/users";

interface Props {
  tidingsUrl: string;
  userId: string;
  users: readonly DemoUser[];
  stored: Notification[];
}

export function NotificationsPage({ tidingsUrl, ...props }: Props) {
  const router = useRouter();
  const [gapAt, setGapAt] = useState<number>();
  return (
    <TidingsProvider
      url={tidingsUrl}
      token={() => getToken(props.userId)}
      // What was published while the page was rendered and loaded; what is repeated is recognised by its id.
      rewind="1m"
      onGap={() => {
        setGapAt(Date.now());
        router.refresh();
      }}
    >
      <Notifications {...props} gapAt={gapAt} />
    </TidingsProvider>
  );
}

type NotificationsProps = Omit<Props, "tidingsUrl"> & { gapAt: number | undefined };

function Notifications({ userId, users, stored, gapAt }: NotificationsProps) {
  const state = useTidingsState();
  const [arrived, setArrived] = useState<Notification[]>([]);
  useEvent<Notification>("notification", ({ data }) =>
    setArrived((before) => withArrived(before, data)),
  );
  const notifications = merged(arrived, stored);
  return (
    <>
      <Heading title="Notifications" state={state}>
        One provider, one connection, and hooks below it. A token of the application opens it.
      </Heading>
      <div className="columns">
        <Send users={users} userId={userId} />
        <section className="card list">
          <div className="heading">
            <h2>Yours</h2>
            <span className="quiet">
              {gapAt ? (
                <>
                  fetched anew after a gap, <Time at={gapAt} />
                </>
              ) : (
                "newest first"
              )}
            </span>
          </div>
          <ol id="notifications" aria-live="polite">
            {notifications.map(({ id, title, from, to, sentAt }) => (
              <li key={id}>
                <span>{title}</span>
                <small>{to === null ? `${from} to everyone` : from}</small>
                <Time at={sentAt} />
              </li>
            ))}
          </ol>
          {notifications.length === 0 && (
            <p className="empty">Nothing yet. What is sent to you appears here at once.</p>
          )}
        </section>
        <section className="card">
          <h2>Connection</h2>
          <Detail state={state} />
          <LastEvent />
        </section>
      </div>
    </>
  );
}

function Send({ users, userId }: Pick<Props, "users" | "userId">) {
  const [outcome, notify, isSending] = useActionState(notifyAction, {});
  return (
    <form action={notify} className="card">
      <label>
        Notification
        <input name="title" required maxLength={200} defaultValue="Your order has shipped" />
      </label>
      <label>
        To
        <select name="to" defaultValue={userId}>
          {users.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
          <option value="everyone">Everyone</option>
        </select>
      </label>
      <button type="submit" className="primary" disabled={isSending}>
        Send
      </button>
      <p className={outcome.error ? "outcome failed" : "outcome"} role="status">
        {isSending ? "Sending…" : (outcome.error ?? outcome.said)}
      </p>
    </form>
  );
}

/** The newest event as it came, with what Tidings has put to it. */
function LastEvent() {
  const last = useLastEvent<Notification>("notification");
  return (
    <dl>
      <dt>Last event</dt>
      <dd>{last?.data.title ?? "none yet"}</dd>
      <dt>Topic</dt>
      <dd>{last?.topics.join(", ") ?? "–"}</dd>
      <dt>Id</dt>
      <dd>{last?.id ?? "–"}</dd>
    </dl>
  );
}
