"use client";

import { useActionState, useEffect, useState } from "react";
import { notifyAction } from "./actions.js";
import { openStream } from "./stream.js";

const SHOWN_MAX = 50;

export function Notifications({ tidingsUrl, userId }) {
  const [state, setState] = useState("connecting");
  const [notifications, setNotifications] = useState([]);
  const isOver = state === "signed out";
  const [sent, notify, sending] = useActionState(notifyAction, { error: null });

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
      <section className="card">
        <form action={notify} className="send">
          <label>
            Send yourself a notification
            <input name="title" required maxLength={200} defaultValue="Your order has shipped" />
          </label>
          <button type="submit" className="primary" disabled={sending || isOver}>
            Send
          </button>
        </form>
        <p className="failed" role="alert">
          {sent.error}
        </p>
      </section>
      <section className="card">
        <div className="heading">
          <h2>Live</h2>
          <output id="state" data-state={state}>
            {state}
          </output>
        </div>
        {isOver && (
          <p className="notice">
            You have signed out, here or in another tab. <a href="/sign-in">Sign in</a> to go on.
          </p>
        )}
        <ol id="notifications" aria-live="polite">
          {notifications.map(({ id, title, sentAt }) => (
            <li key={id}>
              <span>{title}</span>
              <time dateTime={new Date(sentAt).toISOString()}>
                {new Date(sentAt).toLocaleTimeString()}
              </time>
            </li>
          ))}
        </ol>
        {notifications.length === 0 && (
          <p className="empty">Nothing yet. What is sent to you appears here at once.</p>
        )}
      </section>
    </>
  );
}
