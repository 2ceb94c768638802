// How this page itself is connected, in a few words that are also read out. The seconds until the next attempt are
// for the eye alone: read out, they would never end.

import { useEffect, useState } from "react";
import type { State } from "tidings";
import { useTidings, useTidingsState } from "tidings/react";

export function Status() {
  const client = useTidings();
  const state = useTidingsState();
  const { tone, words } = describe(state);
  return (
    <div className="status" data-state={state.status} data-tone={tone}>
      <span role="status">
        <i aria-hidden="true" />
        {words}
      </span>
      {state.status === "retrying" && <Countdown until={state.retryAt} />}
      {(state.status === "retrying" || state.status === "closed") && (
        <button type="button" className="plain" onClick={client.reconnect}>
          Try now
        </button>
      )}
    </div>
  );
}

function describe(state: State): { tone: "good" | "wait" | "bad"; words: string } {
  switch (state.status) {
    case "open":
      return { tone: "good", words: "Live" };
    case "polling":
      return { tone: "wait", words: "Polling: no stream gets through" };
    case "idle":
    case "connecting":
      return { tone: "wait", words: "Connecting" };
    case "retrying":
      return { tone: "bad", words: "Connection lost, retrying" };
    case "paused":
      return { tone: "wait", words: "Paused" };
    case "closed":
      return { tone: "bad", words: state.error ? `Ended: ${state.error.message}` : "Ended" };
  }
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const secs = Math.max(0, Math.ceil((until - now) / 1000));
  return (
    <span className="countdown" aria-hidden="true">
      in {secs} s
    </span>
  );
}
