// One live stream, from its request to its end. It tells what it reads and, at last, why it ended; it knows
// nothing of other streams, of waiting, or of what is a repeat.

import { BlockTooLargeError, createParser, type ParsedEvent } from "./parser.ts";
import {
  type Asker,
  dataOf,
  failureOf,
  parseJson,
  type Requesting,
  readBody,
  request,
} from "./request.ts";
import type { Failure, Gap, TidingsEvent } from "./types.ts";

/** Silences of so many heartbeats mean that the other end is gone. */
const HEARTBEATS_MISSED = 2.5;

/** What a server says first, on a stream and on a page. */
export interface Greeting {
  readonly user?: string | null;
  readonly resumed?: boolean;
  readonly cursor?: string;
}

/** What the server's own events say, as far as it matters here. */
interface Said extends Greeting, Partial<Omit<Gap, "cursor">> {
  readonly heartbeatSecs?: number;
  readonly retryMs?: number;
}

export interface StreamSink {
  /**
   * The stream works. It begins at `cursor`, if it says so, and promises a heartbeat of so many seconds; a server
   * that speaks plain event streams says and promises nothing.
   */
  connected(said: Greeting | undefined, id: string, heartbeatSecs: number): void;
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

/** Reads one stream to its end. Resolves to nothing when the request was ended from outside. */
export function readStream(
  client: Requesting,
  asker: Asker,
  endpoint: string,
  plain: boolean,
  sink: StreamSink,
): Promise<Failure | undefined> {
  const { timing } = client;
  let connected = false;
  let over: Failure | undefined;
  const silence = () => (connected ? "the stream went silent" : "no stream in time");
  const type = "text/event-stream";
  return request(
    client,
    asker,
    endpoint,
    [],
    type,
    timing.connectMs,
    silence,
    async (response, dog) => {
      const going = () => !over && !asker.abort.signal.aborted;

      function connect(said: Said | undefined, id: string): void {
        connected = true;
        const secs = said ? said.heartbeatSecs || timing.heartbeatSecs : 0;
        dog.limit(secs * 1_000 * HEARTBEATS_MISSED);
        sink.connected(said, id, secs);
      }

      function onEvent(event: ParsedEvent): void {
        const { type, data, lastEventId } = event;
        if (!type.startsWith("tidings.")) {
          if (!connected) connect(undefined, "");
          if (going()) sink.event(event);
          return;
        }
        const said = (parseJson(data) ?? {}) as Said;
        const { reason, retryMs } = said;
        if (type === "tidings.connected") connect(said, lastEventId);
        else if (type === "tidings.gap") sink.gap(gapOf(said, lastEventId));
        else if (type === "tidings.expiring") sink.expiring(reason);
        else {
          sink.moved(lastEventId);
          if (type !== "tidings.closing") return;
          const message = `the server closed the stream (${reason})`;
          over = { kind: "closing", code: reason, message, retryMs };
        }
      }

      if (plain) connect(undefined, "");
      const parser = createParser({
        onEvent: (event) => going() && onEvent(event),
        onId: (id) => going() && sink.moved(id),
        onRetry: sink.retry,
      });
      await readBody(response, async (part) => {
        if (connected) dog.touch();
        sink.heard();
        try {
          parser.push(part);
        } catch (error) {
          over = failureOf(error, error instanceof BlockTooLargeError ? "too-large" : "network");
        }
        const handling = !over && sink.handling();
        if (!handling) return over;
        // What is not handled is not read: the server keeps the place.
        if (connected) dog.hold();
        await handling;
        if (connected) dog.touch();
      });
      return over ?? { kind: "ended", message: "the stream ended" };
    },
  );
}

/** A gap as it is told, with what is missing filled in. */
export function gapOf(said: Partial<Gap>, id: string): Gap {
  return { reason: said.reason ?? "unknown", topics: said.topics ?? [], cursor: said.cursor ?? id };
}

/** An event as handlers get it. */
export function eventOf({ type, data, lastEventId: id, topic, time }: ParsedEvent): TidingsEvent {
  return { id, type, topics: topic?.split(",") ?? [], data: dataOf(data), time };
}
