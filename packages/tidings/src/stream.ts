// One live stream, from its request to its end. It tells what it reads and, at last, why it ended; it knows
// nothing of other streams, of waiting, or of what is a repeat.

import { BlockTooLargeError, createParser, type ParsedEvent } from "./parser.ts";
import { failureOf, parseJson, type Request, refusal, send, watched } from "./request.ts";
import type { Failure, Gap } from "./types.ts";
import type { Watchdog } from "./watchdog.ts";

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

/** Reads one stream to its end. Resolves to nothing when the request was ended from outside. */
export function readStream(
  request: Request,
  bounds: StreamBounds,
  sink: StreamSink,
): Promise<Failure | undefined> {
  const { signal } = request.abort;
  let connected = false;
  const silence = () => (connected ? "the stream went silent" : "no stream began in time");
  return watched(request, bounds.connectMs, silence, (dog) => read(dog));

  async function read(dog: Watchdog): Promise<Failure> {
    let over: Failure | undefined;
    const going = () => !over && !signal.aborted;

    function connect(said: Connected | undefined, id: string): void {
      connected = true;
      // A server of another kind has promised no heartbeat.
      const secs = said ? said.heartbeatSecs || bounds.heartbeatSecs : Number.POSITIVE_INFINITY;
      dog.limit(secs * 1_000 * HEARTBEATS_MISSED);
      sink.connected(said, id);
    }

    function onEvent(event: ParsedEvent): void {
      const { type, data, lastEventId } = event;
      if (!type.startsWith("tidings.")) {
        if (!connected && going()) connect(undefined, "");
        if (going()) sink.event(event);
        return;
      }
      if (!going()) return;
      const said = (parseJson(data) ?? {}) as Connected & Partial<Gap> & Partial<Closing>;
      if (type === "tidings.connected") connect(said, lastEventId);
      else if (type === "tidings.gap") sink.gap(gapOf(said, lastEventId));
      else if (type === "tidings.expiring") sink.expiring(said.reason);
      else {
        if (lastEventId) sink.moved(lastEventId);
        if (type !== "tidings.closing") return;
        const { reason: code = "", retryMs } = said;
        over = {
          kind: "closing",
          code,
          message: `the server closed the stream (${code})`,
          retryMs,
        };
      }
    }

    const response = await send(request);
    const refused = await refusal(response, request);
    if (refused) return refused;
    sink.accepted();
    if (bounds.plain) connect(undefined, "");
    const parser = createParser({
      onEvent,
      onId: (id) => {
        if (going()) sink.moved(id);
      },
      onRetry: sink.retry,
    });
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      if (connected) dog.touch();
      sink.heard();
      try {
        parser.push(part.value);
      } catch (error) {
        return failureOf(error, error instanceof BlockTooLargeError ? "too-large" : "network");
      }
      if (over) return over;
      const handling = sink.handling();
      if (!handling) continue;
      // What is not handled is not read: the server keeps the place.
      if (connected) dog.hold();
      await handling;
      if (connected) dog.touch();
    }
    return { kind: "ended", message: "the stream ended" };
  }
}

/** A gap as it is told, with what is missing filled in. */
export function gapOf(said: Partial<Gap>, id: string): Gap {
  return { reason: said.reason ?? "unknown", topics: said.topics ?? [], cursor: said.cursor ?? id };
}
