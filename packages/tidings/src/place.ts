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
  /** The cursor to resume with. Without it the place starts anew. */
  read: string | undefined;
  /**
   * The source is at this event, or has come so far without one. Whether that is new. Tells a gap first when there
   * is one that the server did not tell.
   */
  at(source: Source, id: string): boolean;
  /** The server told of a gap. */
  gap(source: Source, gap: Gap): void;
}

/** A place. `onGap` is called as a gap is met, before the event that follows it. */
export function createPlace(
  start: string | undefined,
  onGap: (gap: Gap, source: Source) => void,
): Place {
  const place: Place = {
    read: start,
    at(source, id) {
      const next = parseCursor(id);
      if (!source.tidings || !next) {
        place.read = id || place.read;
        return true;
      }
      const last = parseCursor(place.read);
      const otherEpoch = last && last.epoch !== next.epoch;
      if (otherEpoch || source.owed) {
        source.owed = undefined;
        onGap({ reason: otherEpoch ? "epoch" : "unknown", topics: [], cursor: id }, source);
      }
      const ahead = !last || otherEpoch || isAfter(next.position, last.position);
      if (ahead) place.read = id;
      return ahead;
    },
    gap(source, gap) {
      source.owed = undefined;
      const next = parseCursor(gap.cursor);
      const last = parseCursor(place.read);
      // What is lost lies behind; what was read beyond it is not read again.
      const stays =
        gap.reason !== "unknown" &&
        next &&
        last &&
        next.epoch === last.epoch &&
        isAfter(last.position, next.position);
      if (!stays) place.read = gap.cursor || place.read;
      onGap(gap, source);
    },
  };
  return place;
}
