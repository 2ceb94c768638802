"use client";

// Notifications without the package and without a token: the session cookie opens the stream, and the
// browser's own EventSource reads it.

import { useActionState, useEffect, useState } from "react";
import { notifyAction } from "@/app/actions";
import { Time } from "@/components/time";
import type { Notification } from "@/lib/store";
import { openStream, type StreamState } from "./stream";

const SHOWN_MAX = 50;

const WORDS: Record<StreamState, string> = {
  connecting: "Connecting",
  connected: "Live",
  reconnecting: "Reconnecting",
  "signed out": "Signed out",
};

export function ByCookie({ tidingsUrl, userId }: { tidingsUrl: string; userId: string }) {
  const [state, setState] = useState<StreamState>("connecting");
  const [notifications, setNotifications] = useState<Notification[]>([]);
  const isOver = state === "signed out";
  const [outcome, notify, isSending] = useActionState(notifyAction, {});

  useEffect(
    () =>
      openStream(tidingsUrl, userId, {
        onState: setState,
        onNotification: (notification) =>
          setNotifications((before) => [notification, ...before].slice(0, SHOWN_MAX)),
      }),
    [tidingsUrl, userId],
  );

  return (
    <>
      <div>
        <div className="heading">
          <h1>Session cookie</h1>
          <output id="state" data-state={state}>
            {WORDS[state]}
          </output>
        </div>
        <p className="lead">
          No package and no token: the browser’s own EventSource, and a cookie.
        </p>
      </div>
      <div className="columns">
        <form action={notify} className="card">
          <label>
            Send yourself a notification
            <input name="title" required maxLength={200} defaultValue="Your order has shipped" />
          </label>
          <input type="hidden" name="to" value={userId} />
          <button type="submit" className="primary" disabled={isSending || isOver}>
            Send
          </button>
          <p className={outcome.error ? "outcome failed" : "outcome"} role="status">
            {isSending ? "Sending…" : (outcome.error ?? outcome.said)}
          </p>
        </form>
        <section className="card list">
          <div className="heading">
            <h2>Yours</h2>
            <span className="quiet">newest first</span>
          </div>
          <ol id="notifications" aria-live="polite">
            {notifications.map(({ id, title, from, sentAt }) => (
              <li key={id}>
                <span>{title}</span>
                <small>{from}</small>
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
          <p className="quiet detail">
            {isOver ? (
              <>
                You have signed out, here or in another tab. <a href="/sign-in">Sign in</a> to go
                on.
              </>
            ) : (
              "The cookie that Auth.js has made opens the stream. No script can read it, and no token is in the address."
            )}
          </p>
        </section>
      </div>
    </>
  );
}
