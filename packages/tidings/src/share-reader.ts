// One tab's own reading of what is read for all: it hands entries on as its handlers are ready for them,
// drops repeats, and fills a hole by reading from the server itself until it has caught up. It knows nothing
// of leaders, locks or channels.

import { createConnection, type Host } from "./connection.ts";
import { createRecent, type Entry, isRepeat, type Recent, reaches } from "./share-recent.ts";
import type { Failure, Transport } from "./types.ts";

export interface Reader {
  readonly recent: Recent;
  /** Takes what was read next. */
  push(...entries: Entry[]): void;
  /** Begins at a place, unless there is one: nothing before it was promised. */
  begin(place: string | undefined): void;
  /** There is a hole: what is pushed next follows another place. */
  skip(place: string | undefined): void;
  start(): void;
  stop(): void;
  /** Resolves when all that was pushed is handled; nothing when it is so already. */
  handling(): Promise<void> | undefined;
}

export function createReader(
  host: Host,
  startedAt: () => number,
  ended: (failure: Failure) => void,
): Reader {
  const { env } = host;
  const recent = createRecent(host.cursor, env.now());
  /** Everything up to here was handed on. */
  let place = host.cursor;
  let running = false;
  /** The handlers are busy, and the next entry waits for them. */
  let waiting = false;
  /** Reads what is missing from the server. */
  let own: { stop(): void } | undefined;

  function handOn(): void {
    while (running && !waiting && !own) {
      const entry = recent.peek();
      const follows = reaches(place, entry ? entry.before : recent.end);
      if (follows && !entry) return;
      const busy = host.handling();
      if (busy) {
        waiting = true;
        void busy.then(() => {
          waiting = false;
          handOn();
        });
      } else if (follows && entry) {
        recent.take();
        hand(entry);
      } else catchUp(preferred());
    }
  }

  function hand(entry: Entry): void {
    const { after } = entry;
    const repeat = isRepeat(place, after);
    if (entry.kind === "gap") {
      // What is lost lies behind; what was read beyond it is not read again.
      if (!repeat || entry.gap.reason === "unknown") place = after;
      host.gap(entry.gap, place);
    } else if (!repeat) {
      place = after;
      if (entry.kind === "event") host.event(entry.event, place);
      else host.moved(place);
    }
  }

  /** Polls, which hold no connection open, where there are any. */
  function preferred(): readonly Transport[] {
    const polls = host.pollingEndpoint && host.transports.some((transport) => transport !== "sse");
    return polls ? ["poll"] : ["sse"];
  }

  function catchUp(transports: readonly Transport[]): void {
    const mine = createConnection({
      ...host,
      transports,
      cursor: place,
      startedAt: startedAt(),
      event: (event, after) => took(after, () => host.event(event, after)),
      gap: (gap, after) => took(after, () => host.gap(gap, after)),
      moved: (after) => took(after, () => host.moved(after)),
      stage: () => undefined,
      ended(failure) {
        if (own !== mine) return;
        own = undefined;
        if (transports[0] === "poll" && host.transports.includes("sse")) catchUp(["sse"]);
        else ended(failure);
      },
    });

    function took(after: string | undefined, tell: () => void): void {
      if (own !== mine) return;
      place = after;
      tell();
      rejoin();
    }

    own = mine;
    mine.start();
  }

  /** Goes on with what is read for all, once it follows what was read alone. */
  function rejoin(): void {
    if (!own || !recent.rejoin(place)) return;
    own.stop();
    own = undefined;
    handOn();
  }

  async function settled(): Promise<void> {
    for (let busy = host.handling(); busy && running; busy = host.handling()) await busy;
  }

  return {
    recent,
    push(...entries) {
      for (const entry of entries) recent.push(entry);
      rejoin();
      handOn();
    },
    begin(start) {
      recent.restart(start, env.now());
      if (place !== undefined || start === undefined) return;
      place = start;
      host.moved(start);
    },
    skip(end) {
      // A leader without a place has nothing to follow: what we have had is not forgotten for it.
      recent.restart(end ?? place, env.now());
      rejoin();
      handOn();
    },
    start() {
      running = true;
      handOn();
    },
    stop() {
      running = false;
      own?.stop();
      own = undefined;
    },
    handling: () => (host.handling() ? settled() : undefined),
  };
}
