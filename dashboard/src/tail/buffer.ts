// The events a tail remembers: bounded in number and in characters, the oldest go first. It knows nothing of where
// they come from and how they are shown.

import type { ShownEvent } from "./event-list.tsx";

export interface Bounds {
  readonly eventsMax: number;
  readonly charsMax: number;
}

export interface Buffer {
  add(event: ShownEvent): void;
  /** The newest first, of those that contain the text somewhere, at most so many. */
  newest(text: string, max: number): ShownEvent[];
  clear(): void;
  readonly size: number;
  /** Events that were added since the buffer was made, the forgotten ones too. */
  readonly added: number;
}

export function createBuffer({ eventsMax, charsMax }: Bounds): Buffer {
  let events: ShownEvent[] = [];
  /** Where the oldest is; what lies before it is given up when it is half of all. */
  let first = 0;
  let chars = 0;
  let added = 0;

  const forgetOldest = () => {
    const oldest = events[first];
    if (!oldest) return;
    chars -= charsOf(oldest);
    first += 1;
    if (first * 2 >= events.length) {
      events = events.slice(first);
      first = 0;
    }
  };

  return {
    get size() {
      return events.length - first;
    },
    get added() {
      return added;
    },
    add(event) {
      events.push(event);
      chars += charsOf(event);
      added += 1;
      // The newest stays, however large it is.
      while (events.length - first > 1 && (events.length - first > eventsMax || chars > charsMax)) {
        forgetOldest();
      }
    },
    newest(text, max) {
      const found: ShownEvent[] = [];
      const wanted = text.toLowerCase();
      for (let index = events.length - 1; index >= first && found.length < max; index -= 1) {
        const event = events[index];
        if (event && (wanted === "" || contains(event, wanted))) found.push(event);
      }
      return found;
    },
    clear() {
      events = [];
      first = chars = 0;
    },
  };
}

function charsOf({ id, type, topics, data }: ShownEvent): number {
  return (
    id.length + type.length + data.length + topics.reduce((sum, { length }) => sum + length, 0)
  );
}

function contains({ id, type, topics, data, gap }: ShownEvent, wanted: string): boolean {
  return [gap ?? "", type, ...topics, data, id].some((text) => text.toLowerCase().includes(wanted));
}
