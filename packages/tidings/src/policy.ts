// What a failure means: whether to try again, and whether to try another way. Plain functions over the
// failure; knows no request, timer or state.

import type { Failure } from "./types.ts";

/**
 * `retry`: after a wait. `renew`: with a fresh token. `restart`: without the cursor, which the server cannot
 * read. `end`: the same request will fail again.
 */
export type Verdict = "retry" | "renew" | "restart" | "end";

export function judge({ kind, status = 0, code }: Failure): Verdict {
  if (kind === "too-large") return "end";
  if (kind === "closing") return code === "replaced" ? "end" : "retry";
  if (kind !== "status") return "retry";
  if (status === 401) return "renew";
  if (status === 400 && code === "invalid-cursor") return "restart";
  return status === 408 || status === 425 || status === 429 || status >= 500 ? "retry" : "end";
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
