// The one tab that reads from the server for all: it says what it reads, and answers those who follow. How
// one comes to lead, and for how long, is not its business.

import { createConnection, type Host, type Stage } from "./connection.ts";
import type { Question, Saying } from "./share-channel.ts";
import type { Reader } from "./share-reader.ts";
import type { Entry } from "./share-recent.ts";
import type { Failure } from "./types.ts";

/** What an entry is taken to weigh beside its data. */
const ENTRY_CHARS = 200;

export interface Leader {
  answer(question: Question): void;
  wake(sure: boolean): void;
  reconnect(): void;
  stop(): void;
}

/** Begins to read where this tab's own reader has come to. */
export function createLeader(
  host: Host,
  reader: Reader,
  term: number,
  say: (saying: Saying) => void,
  ended: (failure: Failure) => void,
): Leader {
  const { env, timing } = host;
  const { recent } = reader;
  let leading = true;
  let stage: Stage = { status: "connecting", attempt: 1 };
  /** Somebody has followed: our own slow handlers must not hold them up, though they hold up us alone. */
  let followed = false;
  let wokenAt = Number.NEGATIVE_INFINITY;

  const connection = createConnection({
    ...host,
    cursor: recent.end,
    event(event, after) {
      const chars = (JSON.stringify(event.data) ?? "").length + ENTRY_CHARS;
      read({ kind: "event", event, ...around(after), chars });
    },
    gap: (gap, after) => read({ kind: "gap", gap, ...around(after) }),
    moved: (after) => read({ kind: "moved", ...around(after) }),
    handling: () => (followed ? undefined : reader.handling()),
    stage(next) {
      if (!leading) return;
      stage = next;
      say({ kind: "stage", stage });
      host.stage(stage);
    },
    ended(failure) {
      if (!leading) return;
      say({ kind: "ended", failure });
      ended(failure);
    },
  });

  function around(after: string | undefined) {
    return { before: recent.end, after, atMs: env.now(), term, chars: ENTRY_CHARS };
  }

  function read(entry: Entry): void {
    if (!leading) return;
    // Said first: what a handler does may be that this tab is no more.
    say({ kind: "entry", entry });
    reader.push(entry);
  }

  function reconnect(): void {
    connection.stop();
    connection.start();
  }

  connection.start();

  return {
    answer(question) {
      switch (question.kind) {
        case "hello": {
          followed = true;
          const { place } = question;
          // A rewind is for each tab to make by itself, unless ours is still to come.
          const rewinds = place === undefined && host.rewind !== undefined;
          const entries =
            rewinds && recent.end !== undefined ? undefined : recent.owed(question, term);
          const [first] = entries ?? [];
          const start = first ? first.before : recent.end;
          say({ kind: "welcome", to: question.from, entries, start, end: recent.end, stage });
          return;
        }
        case "ping":
          say({ kind: "pong" });
          if (!question.woken) return;
          // When the network comes back, every tab says so.
          if (env.now() - wokenAt < timing.backoffMinMs) return;
          wokenAt = env.now();
          connection.wake(question.sure);
          return;
        case "reconnect":
          // It tells of a stage, which is an answer.
          reconnect();
      }
    },
    wake(sure) {
      wokenAt = env.now();
      connection.wake(sure);
    },
    reconnect,
    stop() {
      leading = false;
      connection.stop();
    },
  };
}
