// One live stream, from its request to its end. It tells what it reads and, at last, why it ended; it knows
// nothing of other streams, of waiting, or of what is a repeat.

import { BlockTooLargeError, createParser, type ParsedEvent } from "./parser.ts";
import { broke, parseJson, type Request, refusal, send } from "./request.ts";
import type { Failure, Gap } from "./types.ts";
import { createWatchdog } from "./watchdog.ts";

/** Silences of so many heartbeats mean that the other end is gone. */
const HEARTBEATS_MISSED = 2.5;

/** What `tidings.connected` says, as far as it matters here. */
export interface Connected {
  readonly user?: string | null;
  readonly cursor?: string;
  readonly resumed?: boolean;
  readonly heartbeatSecs?: number;
}

/** What `tidings.expiring` and `tidings.closing` say. */
interface Closing {
  readonly reason: string;
  readonly retryMs: number;
}

export interface StreamSink {
  /** The server has let us in. */
  accepted(): void;
  /** The stream works. Nothing is told of a server that speaks plain event streams. */
  connected(connected: Connected | undefined, id: string): void;
  /** A sign of life. */
  heard(): void;
  event(event: ParsedEvent): void;
  moved(id: string): void;
  gap(gap: Gap): void;
  expiring(reason: string | undefined): void;
  retry(retryMs: number): void;
  /** What has been told so far is still being handled. */
  handling(): Promise<void> | undefined;
}

export interface StreamBounds {
  /** No `tidings.connected` is expected. */
  plain: boolean;
  connectMs: number;
  heartbeatSecs: number;
}

/** Reads one stream to its end. Resolves to nothing when `request.signal` ended it. */
export async function readStream(
  request: Request,
  bounds: StreamBounds,
  sink: StreamSink,
): Promise<Failure | undefined> {
  const { env } = request;
  const own = new AbortController();
  const abort = () => own.abort();
  request.signal.addEventListener("abort", abort);
  if (request.signal.aborted) abort();
  let over: Failure | undefined;
  let connected = false;
  const dog = createWatchdog(env, bounds.connectMs, () => {
    over = {
      kind: "silent",
      message: connected
        ? "the stream went silent: something between holds it open, or the other end is gone"
        : "no stream began in time: something between may hold it back",
    };
    abort();
  });

  function connect(said: Connected | undefined, id: string): void {
    connected = true;
    // A server of another kind has promised no heartbeat.
    const secs = said ? said.heartbeatSecs || bounds.heartbeatSecs : Number.POSITIVE_INFINITY;
    dog.limit(secs * 1_000 * HEARTBEATS_MISSED);
    sink.connected(said, id);
  }

  function onEvent(event: ParsedEvent): void {
    if (over || own.signal.aborted) return;
    const { type, data, lastEventId } = event;
    if (!type.startsWith("tidings.")) {
      if (!connected) connect(undefined, "");
      if (!own.signal.aborted) sink.event(event);
      return;
    }
    const said = (parseJson(data) ?? {}) as Connected & Partial<Gap> & Partial<Closing>;
    if (type === "tidings.connected") connect(said, lastEventId);
    else if (type === "tidings.gap") sink.gap(gapOf(said, lastEventId));
    else if (type === "tidings.expiring") sink.expiring(said.reason);
    else if (type === "tidings.closing") {
      if (lastEventId) sink.moved(lastEventId);
      const { reason = "", retryMs } = said;
      const wait = typeof retryMs === "number" ? { retryMs } : {};
      const message = `the server closed the stream (${reason})`;
      over = { kind: "closing", code: reason, message, ...wait };
    } else if (lastEventId) sink.moved(lastEventId);
  }

  try {
    const response = await send({ ...request, signal: own.signal });
    over = await refusal(response, "text/event-stream", env.now());
    if (over || !response.body) return over ?? { kind: "content", message: "an empty answer" };
    sink.accepted();
    if (bounds.plain) connect(undefined, "");
    const parser = createParser({
      onEvent,
      onId: (id) => {
        if (!over && !own.signal.aborted) sink.moved(id);
      },
      onRetry: (retryMs) => sink.retry(retryMs),
    });
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (connected) dog.touch();
      sink.heard();
      parser.push(value);
      if (over) break;
      const handling = sink.handling();
      if (!handling) continue;
      // What is not handled is not read: the server keeps the place.
      if (connected) dog.hold();
      await handling;
      if (connected) dog.touch();
    }
    over ??= { kind: "ended", message: "the stream ended" };
  } catch (error) {
    if (error instanceof BlockTooLargeError) over = { kind: "too-large", message: error.message };
    over ??= broke(error);
  } finally {
    dog.stop();
    request.signal.removeEventListener("abort", abort);
    abort();
  }
  return request.signal.aborted ? undefined : over;
}

/** A gap as it is told, with what is missing filled in. */
export function gapOf(said: Partial<Gap>, id: string): Gap {
  return { reason: said.reason ?? "unknown", topics: said.topics ?? [], cursor: said.cursor ?? id };
}
