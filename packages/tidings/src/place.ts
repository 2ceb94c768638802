// The subscriber's place in the log: how far it has read, which events are repeats, and which loss the
// server forgot to tell. All transports report to it in the same words. It does no I/O.

import { isAfter, parseCursor } from "./cursor.ts";
import type { Gap } from "./types.ts";

/** One stream, or the polls of one fallback: something whose events come in order without holes. */
export interface Source {
  /** It has proved to be a Tidings server; ids of others cannot be compared. */
  tidings: boolean;
  /** It did not resume from the cursor it was offered, has told no gap yet, and goes on from here. */
  owed?: string | undefined;
}

export interface Place {
  /** The cursor to resume with. */
  readonly read: string | undefined;
  /** Whether the event is new. Tells a gap first when there is one that the server did not tell. */
  event(source: Source, id: string): boolean;
  /** Everything up to here was read, and nothing of the subscriber's was among it. */
  moved(source: Source, id: string): void;
  /** The server told of a gap. */
  gap(source: Source, gap: Gap): void;
  /** Starts anew: the server does not know the cursor. */
  reset(): void;
}

/** A place. `onGap` is called as a gap is met, before the event that follows it. */
export function createPlace(
  start: string | undefined,
  onGap: (gap: Gap, source: Source) => void,
): Place {
  let read = start;

  function gap(source: Source, told: Gap): void {
    source.owed = undefined;
    const next = parseCursor(told.cursor);
    const last = parseCursor(read ?? "");
    const stays =
      told.reason !== "unknown" &&
      next?.epoch === last?.epoch &&
      isAfter(last?.position ?? "", next?.position ?? "");
    // What is lost lies behind; what was read beyond it is not read again.
    if (!stays) read = told.cursor || read;
    onGap(told, source);
  }

  function passes(source: Source, id: string): boolean {
    const next = parseCursor(id);
    if (!source.tidings || !next) {
      read = id || read;
      return true;
    }
    const last = parseCursor(read ?? "");
    const otherEpoch = !!last && last.epoch !== next.epoch;
    if (otherEpoch || source.owed) {
      source.owed = undefined;
      onGap({ reason: otherEpoch ? "epoch" : "unknown", topics: [], cursor: id }, source);
    }
    const ahead = !last || otherEpoch || isAfter(next.position, last.position);
    if (ahead) read = id;
    return ahead;
  }

  return {
    get read() {
      return read;
    },
    event: passes,
    moved(source, id) {
      if (id) passes(source, id);
    },
    gap,
    reset() {
      read = undefined;
    },
  };
}
