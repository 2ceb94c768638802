// The stream of one user, by the browser's own EventSource and the session cookie. It knows the three
// things that an EventSource does not do by itself: to see that the session has ended, to see that
// somebody else has signed in, and to come back after an answer that is neither 200 nor final.

import type { Notification } from "@/lib/store";

const RETRY_MS_MIN = 2_000;
const RETRY_MS_MAX = 60_000;

export type StreamState = "connecting" | "connected" | "reconnecting" | "signed out";

interface Listener {
  onState(state: StreamState): void;
  onNotification(notification: Notification): void;
}

/** Opens the stream and returns what closes it. */
export function openStream(
  tidingsUrl: string,
  userId: string,
  { onState, onNotification }: Listener,
): () => void {
  let source: EventSource;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let retryMs = RETRY_MS_MIN;
  let cursor = "";
  let over = false;

  function open(): void {
    // A cursor beats `rewind`: the last 20 are shown when the page begins, and later what was missed.
    source = new EventSource(`${tidingsUrl}/api/sse?rewind=20&lastEventId=${cursor}`, {
      withCredentials: true,
    });
    source.addEventListener("tidings.connected", ({ data }) => {
      // The cookie of the moment decides whose stream this is, and it may have changed in another tab.
      if (JSON.parse(data).user !== userId) return location.reload();
      retryMs = RETRY_MS_MIN;
      onState("connected");
    });
    source.addEventListener("notification", ({ data, lastEventId }) => {
      cursor = lastEventId;
      onNotification({ ...JSON.parse(data), id: lastEventId });
    });
    source.addEventListener("tidings.closing", ({ data }) => {
      if (JSON.parse(data).reason === "revoked") end("signed out");
    });
    source.addEventListener("error", async () => {
      if (over) return;
      onState("reconnecting");
      // Until it is closed, the browser comes back by itself, with the cursor.
      if (source.readyState !== EventSource.CLOSED) return;
      if (await isSignedOut()) return end("signed out");
      if (over) return;
      retry = setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, RETRY_MS_MAX);
    });
  }

  function end(state?: StreamState): void {
    if (over) return;
    over = true;
    clearTimeout(retry);
    source.close();
    if (state) onState(state);
  }

  open();
  return () => end();
}

/** An EventSource does not tell which answer has ended it, so the application is asked. */
async function isSignedOut(): Promise<boolean> {
  try {
    return (await fetch("/api/tidings/session")).status === 401;
  } catch {
    return false;
  }
}
