// The state machine: which streams and polls there are, what follows when one ends, and when to try again.
// Two lanes share one place. The stream lane always tries to have a stream; the poll lane runs while there is
// none to rely on. It knows nothing of handlers, storage or pages.

import { backoffMs, plannedMs } from "./backoff.ts";
import type { ParsedEvent } from "./parser.ts";
import { createPlace, type Source } from "./place.ts";
import { fallsBack, judge } from "./policy.ts";
import { type Page, poll } from "./poll.ts";
import { failureOf, parseJson, type Request } from "./request.ts";
import { gapOf, readStream, type StreamSink } from "./stream.ts";
import type { Tokens } from "./tokens.ts";
import type {
  Environment,
  Failure,
  Gap,
  State,
  TidingsEvent,
  TidingsOptions,
  Timing,
} from "./types.ts";

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
  extends Pick<TidingsOptions, "rewind">,
    Required<Pick<TidingsOptions, "transports" | "topics" | "types" | "headers" | "plain">> {
  env: Environment;
  timing: Timing;
  tokens: Tokens;
  sseEndpoint: string | URL | undefined;
  pollingEndpoint: string | URL | undefined;
  credentials: RequestCredentials;
  /** The cursor to begin with. */
  cursor: string | undefined;
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
  /** Drops everything; the place stays. */
  stop(): void;
  /** Something may have changed while nobody looked; `sure` when an old connection is most likely dead. */
  wake(sure: boolean): void;
}

/** Whoever asks the server: for a stream, or again and again for a page. */
interface Asker extends Source {
  abort: AbortController;
  /** What it asked with. */
  token: string | undefined;
  offered: string | undefined;
}

interface Stream extends Asker {
  connectedAt: number | undefined;
  heardAt: number;
  heartbeatMs: number;
}

interface Lane extends Asker {
  transport: "long-poll" | "poll";
  /** The last poll was answered. */
  ok: boolean;
  failures: number;
  error: Failure | undefined;
  nextAt: number;
  /** Ends the wait for the next poll. */
  wake: (() => void) | undefined;
}

export function createConnection(host: Host): Connection {
  const { env, timing, tokens } = host;
  const wantsStream = host.transports.includes("sse") && !!host.sseEndpoint;
  const wantsLong = host.transports.includes("long-poll");
  const wantsShort = host.transports.includes("poll");
  let canPoll = (wantsLong || wantsShort) && !!host.pollingEndpoint;
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

  function asker(): Asker {
    return { abort: new AbortController(), token: undefined, offered: place.read, tidings: false };
  }

  function query(): [string, string][] {
    const { topics, types, plain, rewind } = host;
    const query: [string, string][] = topics.map((topic) => ["topic", topic]);
    if (types.length) query.push(["types", types.join(",")]);
    if (place.read || plain) return query;
    const waitedMs = env.now() - startedAt;
    // What was published since the first attempt was promised, though no cursor came of that attempt.
    const secs = Math.min(Math.ceil(waitedMs / 1_000) + 1, LOOK_BACK_SECS_MAX);
    if (rewind !== undefined) query.push(["rewind", String(rewind)]);
    else if (waitedMs > 0) query.push(["rewind", `${secs}s`]);
    return query;
  }

  /** Gets the token, then makes the request. */
  async function ask<T>(
    asker: Asker,
    endpoint: string | URL | undefined,
    accept: string,
    use: (request: Request) => Promise<T | Failure | undefined>,
  ): Promise<T | Failure | undefined> {
    try {
      asker.token = await token();
    } catch (thrown) {
      return failureOf(thrown, "token");
    }
    const cursor = place.read;
    asker.offered = cursor;
    const { headers, credentials } = host;
    const { token: shown, abort } = asker;
    const asked = {
      env,
      query: query(),
      accept,
      headers,
      credentials,
      cursor,
      token: shown,
      abort,
    };
    return use({ ...asked, endpoint: String(endpoint) });
  }

  /** The token, unless the application takes too long to get it. */
  function token(): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no token within ${timing.connectMs} ms`));
      const deadline = env.setTimeout(late, timing.connectMs);
      tokens
        .get()
        .finally(() => env.clearTimeout(deadline))
        .then(resolve, reject);
    });
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
    const stream: Stream = {
      ...asker(),
      connectedAt: undefined,
      heardAt: openedAt,
      heartbeatMs: Number.POSITIVE_INFINITY,
    };
    streams.add(stream);
    tell();
    void run(stream);
  }

  async function run(stream: Stream): Promise<void> {
    const bounds = { ...timing, plain: host.plain };
    const failure = await ask(stream, host.sseEndpoint, "text/event-stream", (request) =>
      readStream(request, bounds, sink(stream)),
    );
    if (failure && streams.delete(stream)) streamEnded(stream, failure);
  }

  function sink(stream: Stream): StreamSink {
    return {
      accepted: () => tokens.accepted(stream.token),
      connected(said, id) {
        // The polls have found a place meanwhile, which this stream was not asked to go on from.
        if (!stream.offered && place.read) {
          drop(stream);
          return openStream();
        }
        stream.connectedAt = stream.heardAt = env.now();
        for (const other of streams) if (other !== stream) drop(other);
        main = stream;
        restarted = false;
        if (said) {
          stream.tidings = true;
          stream.heartbeatMs = (said.heartbeatSecs || timing.heartbeatSecs) * 1_000;
          user = said.user;
          if (stream.offered && said.resumed === false)
            stream.owed = said.cursor || id || stream.offered;
          // A block without an id says that a gap follows: until that is told, the old place is ours.
          move(stream, id);
        }
        if (!suspect) {
          error = undefined;
          stopPolling();
        }
        tell();
      },
      heard() {
        stream.heardAt = env.now();
        if (!suspect || stream.connectedAt === undefined) return;
        if (stream.heardAt - stream.connectedAt < timing.stableMs) return;
        suspect = false;
        error = undefined;
        stopPolling();
        tell();
      },
      event: (event) => take(stream, event.lastEventId, () => eventOf(event)),
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
    const livedMs = stream.connectedAt === undefined ? 0 : stream.heardAt - stream.connectedAt;
    if (livedMs >= timing.stableMs) failures = 0;
    if (failure.kind === "silent") suspect = true;
    const again = secondThought(stream, failure);
    if (again === "now") openStream();
    else if (streams.size) {
      // Another stream carries on, or is about to.
      if (!main) error = failure;
      tell();
    } else if (again === "never") finish(failure);
    else waitForStream(failure);
  }

  function waitForStream(failure: Failure): void {
    error = failure;
    let waitMs: number;
    if (failure.kind === "closing" && failure.retryMs !== undefined) {
      failures = 0;
      waitMs = plannedMs(failure.retryMs, timing.backoffMinMs);
      notBefore = env.now() + waitMs;
    } else {
      failures += 1;
      waitMs = backoff(failures, failure.retryMs, lane?.ok ? BACKGROUND_FACTOR : 1);
      if (failure.retryMs !== undefined) notBefore = env.now() + waitMs;
    }
    schedule(waitMs);
    if (fallsBack(failure, failures)) startPolling();
    tell();
  }

  function schedule(waitMs: number): void {
    env.clearTimeout(timer);
    retryAt = env.now() + waitMs;
    timer = env.setTimeout(openStream, waitMs);
  }

  /** What can be done about a failure beside waiting. */
  function secondThought(source: Asker, failure: Failure): "now" | "later" | "never" {
    switch (judge(failure)) {
      case "renew":
        return tokens.refused(source.token) ? "now" : "never";
      case "restart":
        if (!place.read || restarted) return "never";
        restarted = true;
        place.reset();
        host.gap({ reason: "unknown", topics: [], cursor: "" }, undefined);
        return "now";
      case "end":
        return "never";
      case "retry":
        if (failure.code === "expired" || failure.code === "revoked") tokens.spent(source.token);
        return "later";
    }
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
      error: undefined,
      nextAt: 0,
      wake: undefined,
    };
    void keepPolling(lane);
  }

  function stopPolling(): void {
    const stopped = lane;
    lane = undefined;
    stopped?.abort.abort();
    stopped?.wake?.();
  }

  async function keepPolling(self: Lane): Promise<void> {
    while (lane === self) {
      const askedAt = env.now();
      const long = wantsLong && (!wantsShort || askedAt >= longAfter);
      self.transport = long ? "long-poll" : "poll";
      self.abort = new AbortController();
      const answer = await ask(self, host.pollingEndpoint, "application/json", (request) =>
        poll(request, long ? timing.waitSecs : 0, timing.answerMs, () =>
          tokens.accepted(self.token),
        ),
      );
      if (lane !== self || !answer) return;
      let waitMs: number;
      if ("events" in answer) {
        takePage(self, answer);
        await host.handling();
        if (lane !== self) return;
        waitMs = pauseAfter(answer, long, env.now() - askedAt);
        if (self.failures) recovered();
        self.ok = true;
        self.failures = 0;
        self.error = undefined;
      } else {
        self.ok = false;
        self.error = answer;
        const again = secondThought(self, answer);
        if (again === "now") continue;
        if (again === "never") return pollingEnded(answer);
        if (long) longAfter = env.now() + SHORT_MS;
        self.failures += 1;
        waitMs = backoff(self.failures, answer.retryMs);
      }
      self.nextAt = env.now() + waitMs;
      tell();
      await new Promise<void>((resolve) => {
        const sleep = env.setTimeout(resolve, waitMs);
        self.wake = () => {
          env.clearTimeout(sleep);
          resolve();
        };
      });
    }
  }

  function takePage(self: Lane, page: Page): void {
    const { cursor = "", gap, resumed, events } = page;
    user = page.user;
    restarted = false;
    if (gap) place.gap(self, gapOf(gap, cursor));
    else if (self.offered && resumed === false) self.owed = cursor || self.offered;
    for (const { id, type = "message", topics = [], data, text, timestamp: time } of events) {
      // Text that is JSON reads as on a stream, which does not say which of the two it carries.
      take(self, id, () => ({
        id,
        type,
        topics,
        data: text === undefined ? data : dataOf(text),
        time,
      }));
    }
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

  function take(source: Source, id: string, event: () => TidingsEvent): void {
    if (running && place.event(source, id)) host.event(event(), place.read);
  }

  function move(source: Source, id: string): void {
    const before = place.read;
    place.moved(source, id);
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
      startedAt ||= env.now();
      if (wantsStream) openStream();
      else if (canPoll) startPolling();
      tell();
    },
    stop,
    wake(sure) {
      if (!running) return;
      const now = env.now();
      if (main) {
        if (sure || now - main.heardAt > main.heartbeatMs) renew();
      } else if (!streams.size && now >= notBefore && now - openedAt >= timing.backoffMinMs) {
        if (wantsStream) openStream();
      }
      if (lane?.ok || now >= notBefore) lane?.wake?.();
    },
  };
}

function eventOf({ type, data, lastEventId, topic, time }: ParsedEvent): TidingsEvent {
  return { id: lastEventId, type, topics: topic?.split(",") ?? [], data: dataOf(data), time };
}

function dataOf(text: string): unknown {
  const json = parseJson(text);
  return json === undefined ? text : json;
}
