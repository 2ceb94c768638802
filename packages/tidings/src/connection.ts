// The state machine: which streams and polls there are, what follows when one ends, and when to try again.
// Two lanes share one place. The stream lane always tries to have a stream; the poll lane runs while there is
// none to rely on. It knows nothing of handlers, storage or pages.

import { backoffMs, plannedMs } from "./backoff.ts";
import { createPlace, type Source } from "./place.ts";
import { fallsBack, isFinal } from "./policy.ts";
import { eventsOf, type Page, poll } from "./poll.ts";
import type { Asker, Requesting } from "./request.ts";
import { eventOf, type Greeting, gapOf, readStream, type StreamSink } from "./stream.ts";
import type { Failure, Gap, State, TidingsEvent, TidingsOptions } from "./types.ts";

/** The wait between polls of a server that proposes none. */
const POLL_AFTER_MS_DEFAULT = 10_000;
/** A long poll that came back empty sooner than this did not wait as asked; the next one is held back. */
const LONG_POLL_MS_MIN = 1_000;
/** How long polls do without waiting after one that waited has failed: something between may cut it short. */
const SHORT_MS = 300_000;
/** While polls bring the events, the stream is tried again at up to so many times the longest wait. */
const BACKGROUND_FACTOR = 4;
/** How far back a client looks that had no cursor when its first stream failed. */
const LOOK_BACK_SECS_MAX = 86_400;

/** A state without its cursor. */
export type Stage = State extends infer S ? (S extends State ? Omit<S, "cursor"> : never) : never;

/** What the connection needs to know, and whom it tells. */
export interface Host
  extends Omit<Requesting, "ask">,
    Pick<TidingsOptions, "rewind" | "user">,
    Required<Pick<TidingsOptions, "transports" | "topics" | "types" | "plain">> {
  sseEndpoint: string | undefined;
  pollingEndpoint: string | undefined;
  /** The cursor to begin with. */
  cursor: string | undefined;
  /** Without a cursor: what was published since then is owed. The first start, unless it is given. */
  startedAt?: number | undefined;
  /** A new event, in order; `cursor` is the place after it. */
  event(event: TidingsEvent, cursor: string | undefined): void;
  gap(gap: Gap, cursor: string | undefined): void;
  /** The place has moved without an event. */
  moved(cursor: string | undefined): void;
  /** What was told so far is still being handled. */
  handling(): Promise<void> | undefined;
  stage(stage: Stage): void;
  /** The same request would fail again. */
  ended(failure: Failure): void;
}

export interface Connection {
  start(): void;
  /** Drops everything; the place stays. `anew` when `start` follows at once, for a fresh connection. */
  stop(anew?: boolean): void;
  /** Something may have changed while nobody looked; `sure` when an old connection is most likely dead. */
  wake(sure: boolean): void;
}

interface Stream extends Asker, Source {
  connectedAt?: number;
  heardAt: number;
  heartbeatMs?: number;
}

interface Lane extends Asker, Source {
  transport: "long-poll" | "poll";
  /** The last poll was answered. */
  ok: boolean;
  failures: number;
  error?: Failure | undefined;
  /** Waits for the next poll. */
  timer?: unknown;
  nextAt: number;
}

export function createConnection(host: Host): Connection {
  const { env, timing, tokens, sseEndpoint: sse = "", pollingEndpoint: polling = "" } = host;
  const asking = { ...host, ask };
  const wantsStream = host.transports.includes("sse") && !!sse;
  const wantsLong = host.transports.includes("long-poll");
  const wantsShort = host.transports.includes("poll");
  let canPoll = (wantsLong || wantsShort) && !!polling;
  const place = createPlace(host.cursor, onGap);

  let running = false;
  let startedAt = 0;
  let user: string | null | undefined;
  /** Why there is no stream. */
  let error: Failure | undefined;
  /** Of streams, since the last stable one. */
  let failures = 0;
  let retryMs = timing.retryMs;
  let restarted = false;
  /** The last stream went silent: the next must prove itself before the polls are stopped. */
  let suspect = false;
  const streams = new Set<Stream>();
  let main: Stream | undefined;
  let timer: unknown;
  let retryAt = 0;
  /** The server asked for no attempt before this. */
  let notBefore = 0;
  let openedAt = 0;
  let lane: Lane | undefined;
  let longAfter = 0;

  function asker(): Asker & Source {
    return { abort: new AbortController(), offered: place.read, tidings: false };
  }

  function ask(): [string | undefined, string[][]] {
    const { topics, types, plain, rewind } = host;
    const cursor = place.read;
    const query = topics.map((topic) => ["topic", topic]);
    if (types.length) query.push(["types", `${types}`]);
    const waitedMs = env.now() - startedAt;
    // What was published since the first attempt was promised, though no cursor came of that attempt.
    const secs = Math.min(Math.ceil(waitedMs / 1_000) + 1, LOOK_BACK_SECS_MAX);
    const from = rewind ?? (waitedMs > 0 ? `${secs}s` : undefined);
    if (!cursor && !plain && from !== undefined) query.push(["rewind", `${from}`]);
    return [cursor, query];
  }

  function backoff(count: number, asked: number | undefined, factor = 1): number {
    const { backoffMinMs, backoffMaxMs } = timing;
    return backoffMs(count, backoffMinMs, backoffMaxMs * factor, retryMs, env.random(), asked);
  }

  // ── the stream lane

  function openStream(): void {
    env.clearTimeout(timer);
    timer = undefined;
    openedAt = env.now();
    const stream: Stream = { ...asker(), heardAt: openedAt };
    streams.add(stream);
    tell();
    void run(stream);
  }

  async function run(stream: Stream): Promise<void> {
    const failure = await readStream(asking, stream, sse, host.plain, sink(stream));
    if (failure && streams.delete(stream)) streamEnded(stream, failure);
  }

  function sink(stream: Stream): StreamSink {
    return {
      connected(said, id, heartbeatSecs) {
        // The polls have found a place meanwhile, which this stream was not asked to go on from.
        if (!stream.offered && place.read) {
          drop(stream);
          return openStream();
        }
        stream.connectedAt = stream.heardAt = env.now();
        for (const other of streams) if (other !== stream) drop(other);
        main = stream;
        if (said) {
          stream.tidings = true;
          stream.heartbeatMs = heartbeatSecs * 1_000;
          greeted(stream, said, id);
          // A block without an id says that a gap follows: until that is told, the old place is ours.
          move(stream, id);
        }
        if (suspect) tell();
        else trust();
      },
      heard() {
        stream.heardAt = env.now();
        if (suspect && livedMs(stream) >= timing.stableMs) trust();
      },
      event: (event) => take(stream, eventOf(event)),
      moved: (id) => move(stream, id),
      gap: (gap) => place.gap(stream, gap),
      expiring(reason) {
        if (reason === "token") tokens.spent(stream.token);
        renew();
      },
      retry(ms) {
        retryMs = ms;
      },
      handling: host.handling,
    };
  }

  /** How long it has worked, as far as was heard. */
  function livedMs({ connectedAt, heardAt }: Stream): number {
    return connectedAt === undefined ? 0 : heardAt - connectedAt;
  }

  /** The stream is all that is needed. */
  function trust(): void {
    suspect = false;
    error = undefined;
    stopPolling();
    tell();
  }

  function drop(stream: Stream): void {
    streams.delete(stream);
    if (main === stream) main = undefined;
    stream.abort.abort();
  }

  /** A new stream before the old one ends, which is dropped once the new one works. */
  function renew(): void {
    if (streams.size < 2) openStream();
  }

  function streamEnded(stream: Stream, failure: Failure): void {
    if (main === stream) main = undefined;
    if (livedMs(stream) >= timing.stableMs) failures = 0;
    if (failure.kind === "silent") suspect = true;
    const when = again(stream, failure);
    if (when === "now") openStream();
    else if (streams.size) {
      // Another stream carries on, or is about to.
      if (!main) error = failure;
      tell();
    } else if (when === "never") finish(failure);
    else waitForStream(failure);
  }

  function waitForStream(failure: Failure): void {
    const { kind, retryMs: asked } = failure;
    const planned = kind === "closing" && asked !== undefined;
    error = failure;
    failures = planned ? 0 : failures + 1;
    schedule(
      planned
        ? plannedMs(asked, timing.backoffMinMs)
        : backoff(failures, asked, lane?.ok ? BACKGROUND_FACTOR : 1),
    );
    if (asked !== undefined) notBefore = retryAt;
    if (fallsBack(failure, failures)) startPolling();
    tell();
  }

  function schedule(waitMs: number): void {
    env.clearTimeout(timer);
    retryAt = env.now() + waitMs;
    timer = env.setTimeout(openStream, waitMs);
  }

  /** When to try again. */
  function again({ token }: Asker, failure: Failure): "now" | "later" | "never" {
    const { status, code } = failure;
    if (status === 401) return tokens.refused(token) ? "now" : "never";
    if (code === "invalid-cursor" && place.read && !restarted) {
      restarted = true;
      place.read = undefined;
      host.gap({ reason: "unknown", topics: [], cursor: "" }, undefined);
      return "now";
    }
    if (code === "expired" || code === "revoked") tokens.spent(token);
    return isFinal(failure) ? "never" : "later";
  }

  // ── the poll lane

  function startPolling(): void {
    if (lane || !canPoll) return;
    lane = {
      ...asker(),
      tidings: true,
      transport: "long-poll",
      ok: false,
      failures: 0,
      nextAt: 0,
    };
    void pollOnce(lane);
  }

  function stopPolling(): void {
    lane?.abort.abort();
    env.clearTimeout(lane?.timer);
    lane = undefined;
  }

  async function pollOnce(self: Lane): Promise<void> {
    env.clearTimeout(self.timer);
    self.timer = undefined;
    const askedAt = env.now();
    const long = wantsLong && (!wantsShort || askedAt >= longAfter);
    self.transport = long ? "long-poll" : "poll";
    self.abort = new AbortController();
    // The first only looks: its answer says that polls work, long before a wait would be over.
    const looks = long && !self.ok;
    const answer = await poll(asking, self, polling, long && !looks ? timing.waitSecs : 0);
    if (lane !== self || !answer) return;
    let waitMs: number;
    if ("events" in answer) {
      takePage(self, answer);
      await host.handling();
      if (lane !== self) return;
      // After failures a stream is about to be tried, and others come back as well.
      waitMs = looks && !self.failures ? 0 : pauseAfter(answer, long, env.now() - askedAt);
      if (self.failures) recovered();
      self.ok = true;
      self.failures = 0;
      self.error = undefined;
    } else {
      self.ok = false;
      self.error = answer;
      const when = again(self, answer);
      if (when === "now") return pollOnce(self);
      if (when === "never") return pollingEnded(answer);
      if (long && !looks) longAfter = env.now() + SHORT_MS;
      self.failures += 1;
      waitMs = backoff(self.failures, answer.retryMs);
    }
    self.nextAt = env.now() + waitMs;
    self.timer = env.setTimeout(() => pollOnce(self), waitMs);
    tell();
  }

  function takePage(self: Lane, page: Page): void {
    const { cursor = "", gap } = page;
    greeted(self, page, "");
    if (gap) place.gap(self, gapOf(gap, cursor));
    for (const event of eventsOf(page)) take(self, event);
    move(self, cursor);
  }

  function pauseAfter(page: Page, long: boolean, tookMs: number): number {
    if (page.hasMore) return 0;
    const asked = page.pollAfterMs ?? (long ? 0 : POLL_AFTER_MS_DEFAULT);
    if (!long) return Math.max(asked, timing.pollIntervalMs);
    return page.events.length || tookMs >= LONG_POLL_MS_MIN
      ? asked
      : Math.max(asked, LONG_POLL_MS_MIN);
  }

  /** The server answers again after polls have failed: it was gone, and streams may work as before. */
  function recovered(): void {
    if (timer === undefined || env.now() < notBefore) return;
    schedule(Math.min(backoff(1, undefined), Math.max(retryAt - env.now(), 0)));
  }

  function pollingEnded(failure: Failure): void {
    if (!wantsStream || failure.status === 401 || failure.status === 403) {
      finish(failure);
      return;
    }
    // There is no polling here; streams are tried on.
    canPoll = false;
    stopPolling();
    tell();
  }

  // ── both

  /** The server has said who we are, and whether it goes on from the cursor that it was offered. */
  function greeted(
    source: Asker & Source,
    { resumed, cursor, ...said }: Greeting,
    id: string,
  ): void {
    user = said.user;
    restarted = false;
    if (source.offered && resumed === false) source.owed = cursor || id || source.offered;
  }

  function take(source: Source, event: TidingsEvent): void {
    if (running && place.at(source, event.id)) host.event(event, place.read);
  }

  function move(source: Source, id: string): void {
    const before = place.read;
    if (id) place.at(source, id);
    if (place.read !== before) host.moved(place.read);
  }

  function onGap(gap: Gap, source: Source): void {
    host.gap(gap, place.read);
    if (gap.reason !== "epoch") return;
    // What other connections still bring is of a log that is no more.
    for (const stream of streams) if (stream !== source) drop(stream);
    if (lane && lane !== source) {
      stopPolling();
      if (suspect) startPolling();
    }
    if (wantsStream && !streams.size && timer === undefined) schedule(backoff(1, undefined));
  }

  function finish(failure: Failure): void {
    stop();
    host.ended(failure);
  }

  function tell(): void {
    const stage = running ? stageNow() : undefined;
    if (stage) host.stage(stage);
  }

  function stageNow(): Stage | undefined {
    if (main && !(suspect && lane?.ok)) return { status: "open", user };
    if (lane?.ok) return { status: "polling", transport: lane.transport, user, error };
    if (streams.size || (lane && !lane.error)) {
      return { status: "connecting", attempt: failures + 1, error };
    }
    const known = error ?? lane?.error;
    if (!known) return undefined;
    const due = [timer === undefined ? 0 : retryAt, lane?.nextAt ?? 0].filter((at) => at > 0);
    const attempt = wantsStream ? failures : (lane?.failures ?? 0);
    return { status: "retrying", attempt, retryAt: Math.min(...due), error: known };
  }

  function stop(): void {
    running = false;
    env.clearTimeout(timer);
    timer = undefined;
    for (const stream of streams) drop(stream);
    stopPolling();
  }

  return {
    start() {
      if (running) return;
      running = true;
      failures = notBefore = 0;
      error = undefined;
      startedAt ||= host.startedAt || env.now();
      if (wantsStream) openStream();
      else if (canPoll) startPolling();
      tell();
    },
    stop,
    wake(sure) {
      if (!running) return;
      const now = env.now();
      if (main) {
        if (sure || now - main.heardAt > (main.heartbeatMs ?? now)) renew();
      } else if (!streams.size && now >= notBefore && now - openedAt >= timing.backoffMinMs) {
        if (wantsStream) openStream();
      }
      if (lane?.timer !== undefined && (lane.ok || now >= notBefore)) void pollOnce(lane);
    },
  };
}
