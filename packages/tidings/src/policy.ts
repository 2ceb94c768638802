// What a failure means: whether to try again, and whether to try another way. Plain functions over the
// failure; knows no request, timer or state.

import type { Failure } from "./types.ts";

/** Whether the same request would fail again. A refused token or cursor is not the same request any more. */
export function isFinal({ kind, status = 0, code }: Failure): boolean {
  if (kind === "status") return ![408, 425, 429].includes(status) && status < 500;
  return kind === "too-large" || (kind === "closing" && code === "replaced");
}

/** Streams that fail so often in a row are given up for polling. */
export const STREAM_FAILURES_MAX = 3;

/** Whether to poll while the stream is tried again in the background. */
export function fallsBack({ kind, code }: Failure, failures: number): boolean {
  // Silence, and a page where a stream should be, are what a proxy does that will do it again. One more
  // connection than is allowed will not be let in soon either.
  if (kind === "silent" || kind === "content" || code === "too-many-connections") return true;
  return kind !== "closing" && kind !== "token" && failures >= STREAM_FAILURES_MAX;
}
