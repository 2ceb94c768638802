// One connection for all tabs of a browser that ask for the same. Whoever holds a lock leads and reads from
// the server; the others follow, wait for the lock, and take it from a leader that does not answer. It knows
// who leads, and nothing of what is read.

import { type Connection, createConnection, type Host, type Stage } from "./connection.ts";
import {
  type Asking,
  type Message,
  nameOf,
  type Saying,
  sourcesOf,
  type Word,
} from "./share-channel.ts";
import { createLeader, type Leader } from "./share-leader.ts";
import { createReader } from "./share-reader.ts";
import { reaches } from "./share-recent.ts";
import type { Failure } from "./types.ts";

/** How long a leader may take to answer. */
const ANSWER_MS_MAX = 3_000;
/** So many questions in a row without an answer: one alone may have been asked before a computer slept. */
const UNANSWERED_MAX = 2;
/** Tabs ask a silent leader not all at once, but up to so much of the time later. */
const SPREAD_FACTOR = 0.25;
/** A lock takes a moment to be had. Whoever waits longer is owed what is published meanwhile. */
const LOCK_MS = 1_000;

/** Where tabs cannot share, the connection is this tab's own. */
export function createSharedConnection(host: Host): Connection {
  const { env, timing } = host;
  const sources = sourcesOf(env);
  // Without cursors that can be compared nobody could tell a repeat.
  if (!sources || host.plain) return createConnection(host);
  const { locks, channel: open } = sources;
  const name = nameOf(host);
  const self = env.random().toString(36).slice(2);

  let channel: ReturnType<typeof open> | undefined;
  let startedAt = 0;
  /** `start` is about to be called again, for a fresh connection. */
  let again = false;
  /** Our place in the queue for the lock, or at its head. */
  let claim: AbortController | undefined;
  let release: (() => void) | undefined;
  /** We, while we lead. */
  let leader: Leader | undefined;
  /** Whoever leads, as far as we have heard. */
  let known: { term: number; from: string } | undefined;
  /** The known leader has said how what it reads follows what we have. */
  let joined = false;
  /** An answer is awaited; the timer is for that, or else for the next question. */
  let asking = false;
  let timer: unknown;
  let reminder: unknown;
  let heardAt = 0;
  let unanswered = 0;
  const reader = createReader(host, () => startedAt, finish);

  // ── who leads

  /** Waits for the lock, or takes it at once. */
  function stand(steal: boolean): void {
    claim?.abort();
    const mine = new AbortController();
    claim = mine;
    const lost = (error: unknown) => {
      if (mine.signal.aborted) return;
      if (Object(error).name === "AbortError") follow();
      else alone(mine);
    };
    locks.request(name, steal ? { steal } : { signal: mine.signal }, () => lead(mine)).catch(lost);
  }

  /** There are no locks here after all, so nobody else may be heard or hear us. */
  function alone(mine: AbortController): void {
    channel?.close();
    channel = { post: () => undefined, close: () => undefined };
    void lead(mine);
  }

  /** Leads until the returned promise is settled. */
  function lead(mine: AbortController): Promise<void> | undefined {
    if (mine.signal.aborted) return undefined;
    env.clearTimeout(timer);
    env.clearTimeout(reminder);
    const term = Math.max(env.now(), (known?.term ?? 0) + 1);
    known = { term, from: self };
    joined = false;
    const tell = (saying: Saying) => channel?.post({ ...saying, from: self, term });
    tell({ kind: "lead" });
    const owedSince = env.now() - startedAt > LOCK_MS ? startedAt : undefined;
    leader = createLeader({ ...host, startedAt: owedSince }, reader, term, tell, finish);
    return new Promise((resolve) => {
      release = resolve;
    });
  }

  function abdicate(): void {
    leader?.stop();
    leader = undefined;
    release?.();
    release = undefined;
  }

  /** Leads no more, and waits again. */
  function follow(): void {
    abdicate();
    stand(false);
    hello();
  }

  // ── following

  /** Says something that whoever leads answers. */
  function ask(question: Asking): void {
    channel?.post({ ...question, from: self });
    asking = true;
    env.clearTimeout(timer);
    timer = env.setTimeout(unheard, ANSWER_MS_MAX);
  }

  function hello(): void {
    joined = false;
    ask({ kind: "hello", place: reader.recent.end, sinceMs: startedAt });
  }

  function ping(woken: boolean, sure: boolean): void {
    ask({ kind: "ping", woken, sure });
  }

  function unheard(): void {
    unanswered += 1;
    if (unanswered < UNANSWERED_MAX) ping(false, false);
    else {
      unanswered = 0;
      stand(true);
    }
  }

  /** Asks once nothing was heard for as long as a server may be silent. */
  function watch(): void {
    const quietMs = timing.heartbeatSecs * 1_000 * (1 + SPREAD_FACTOR * env.random());
    timer = env.setTimeout(
      () => {
        if (env.now() - heardAt < quietMs) watch();
        else ping(false, false);
      },
      heardAt + quietMs - env.now(),
    );
  }

  function heard(message: Message): void {
    if (!channel) return;
    if (!("term" in message)) {
      leader?.answer(message);
      return;
    }
    const { term, from } = message;
    const newer = !known || term > known.term || (term === known.term && from > known.from);
    if (!newer && from !== known?.from) return;
    if (newer) {
      known = { term, from };
      // Our lock was taken, though we have not been told yet.
      if (leader) follow();
      else if (message.kind === "welcome" && message.to === self) joined = false;
      else hello();
    }
    heardAt = env.now();
    unanswered = 0;
    if (asking) {
      asking = false;
      env.clearTimeout(timer);
      watch();
    }
    learn(message);
  }

  function learn(word: Word): void {
    switch (word.kind) {
      case "welcome":
        if (joined || word.to !== self) return;
        joined = true;
        join(word);
        show(word.stage);
        return;
      case "entry":
        if (!joined) return;
        if (reaches(reader.recent.end, word.entry.before)) reader.push(word.entry);
        else hello();
        return;
      case "stage":
        if (joined) show(word.stage);
        return;
      case "ended":
        finish(word.failure);
    }
  }

  function join({ entries, start, end }: Word & { kind: "welcome" }): void {
    if (entries) {
      // We have waited for our first place.
      if (reader.recent.end === undefined) reader.begin(start);
      reader.push(...entries);
    } else reader.skip(end);
  }

  function show(stage: Stage): void {
    host.stage(stage);
    env.clearTimeout(reminder);
    // A hidden page's timers are up to a minute late: whoever is shown tells it when the time has come.
    if (stage.status === "retrying") {
      reminder = env.setTimeout(() => ping(true, false), stage.retryAt - env.now());
    }
  }

  // ── both

  function leave(): void {
    claim?.abort();
    abdicate();
    env.clearTimeout(timer);
    env.clearTimeout(reminder);
    channel?.close();
    channel = undefined;
    reader.stop();
  }

  function finish(failure: Failure): void {
    leave();
    host.ended(failure);
  }

  return {
    start() {
      if (channel) {
        if (again && leader) leader.reconnect();
        else if (again) ask({ kind: "reconnect" });
        again = false;
        return;
      }
      startedAt ||= env.now();
      unanswered = 0;
      channel = open(name, (message) => heard(message as Message));
      host.stage({ status: "connecting", attempt: 1 });
      reader.start();
      hello();
      stand(false);
    },
    stop(anew = false) {
      again = anew && !!channel;
      if (!again) leave();
    },
    wake(sure) {
      if (leader) leader.wake(sure);
      else if (channel) ping(true, sure);
    },
  };
}
