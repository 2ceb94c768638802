// `createTidings`: the client as an application sees it. It hands events to handlers one at a time, commits
// the cursor after them, keeps it over a reload, and shows one state. How events come is the connection's.

import { createConnection, type Stage } from "./connection.ts";
import { createDelivery } from "./delivery.ts";
import { watchPage } from "./page.ts";
import { shareLater } from "./share-later.ts";
import { createTokens } from "./tokens.ts";
import type {
  Environment,
  EventHandler,
  EventMap,
  Failure,
  Gap,
  PageSource,
  State,
  TextStorage,
  Tidings,
  TidingsEvent,
  TidingsOptions,
  Timing,
} from "./types.ts";

/** What the protocol asks of a client; see "Writing a client" there. */
export const TIMING: Timing = {
  backoffMinMs: 1_000,
  backoffMaxMs: 30_000,
  retryMs: 3_000,
  stableMs: 10_000,
  connectMs: 15_000,
  heartbeatSecs: 15,
  waitSecs: 25,
  answerMs: 10_000,
  pollIntervalMs: 1_000,
};

/** The error that an iteration ends with, when the client ended for a reason. */
export class TidingsError extends Error {
  override name = "TidingsError";
  readonly state: State & { status: "closed" };

  constructor(state: State & { status: "closed" }) {
    super(state.error?.message ?? "closed");
    this.state = state;
  }
}

type AnyHandler = (event: TidingsEvent<never>) => unknown;

/** A client. It connects when it is first listened to, or when `connect` is called. */
export function createTidings<Events extends EventMap = EventMap>(
  options: TidingsOptions<Events>,
): Tidings<Events> {
  const env = environment(options);
  const storage = options.user === undefined ? undefined : (options.storage ?? sessionStorage());
  const { sseEndpoint, pollingEndpoint } = endpoints(options);
  const topics = options.topics ?? [];
  const key = `tidings:cursor:${options.user}:${sseEndpoint ?? pollingEndpoint}:${topics}`;

  let cursor = options.cursor ?? attempt(() => storage?.getItem(key) ?? undefined);
  let state: State = { status: "idle", cursor };
  let lastTold: string | undefined;
  let saving = false;
  let unwatch: (() => void) | undefined;
  const listeners = new Set<() => void>();
  const byType = new Map<string, Set<AnyHandler>>();
  const forAny = new Set<AnyHandler>();
  const forGaps = new Set<(gap: Gap) => unknown>([(gap) => options.onGap?.(gap)]);
  const delivery = createDelivery(commit);

  const connection = (options.shareTabs ? shareLater : createConnection)({
    transports: ["sse", "long-poll", "poll"],
    types: [],
    headers: {},
    credentials: "same-origin",
    plain: false,
    ...options,
    env,
    timing: { ...TIMING, ...options.timing },
    tokens: createTokens(options.token),
    sseEndpoint,
    pollingEndpoint,
    topics,
    cursor,
    event(event, after) {
      const { validate } = options;
      let valid = validate ? undefined : event;
      const check = async () => {
        valid = await validate?.(event);
      };
      // A step of its own: what is closed meanwhile neither handles the event nor counts it as handled.
      if (validate) delivery.push(null, () => callAll([check], event));
      delivery.push(after, () => {
        if (!valid) return;
        options.cache?.add(valid);
        return callAll([...(byType.get(valid.type) ?? []), ...forAny], valid);
      });
    },
    gap: (gap, after) => delivery.push(after, () => callAll([...forGaps], gap)),
    moved: (after) => delivery.push(after),
    handling: delivery.handling,
    stage: setStage,
    ended: end,
  });

  /** Calls all, and returns what they wait for. One that throws keeps no other from being called. */
  function callAll<T>(
    handlers: ((value: never) => unknown)[],
    value: T,
  ): Promise<unknown> | undefined {
    const pending = handlers
      .map((handler) => attempt(() => handler(value as never), report))
      .filter(isThenable)
      .map((result) => Promise.resolve(result).catch(report));
    return pending.length ? Promise.all(pending) : undefined;
  }

  function report(error: unknown): void {
    const { onHandlerError } = options;
    queueMicrotask(() => {
      if (!onHandlerError) throw error;
      onHandlerError(error);
    });
  }

  function commit(after: string | undefined): void {
    cursor = after;
    if (!storage || saving) return;
    saving = true;
    // Once for all events of a burst. What is lost in a crash is repeated, not missed.
    queueMicrotask(() => {
      saving = false;
      attempt(() => (cursor ? storage.setItem(key, cursor) : storage.removeItem(key)));
    });
  }

  function setStage(stage: Stage): void {
    const told = JSON.stringify(stage);
    if (told === lastTold) return;
    lastTold = told;
    state = { ...stage, cursor } as State;
    for (const listener of [...listeners]) listener();
  }

  function connect(): void {
    if (state.status === "idle") start();
  }

  function start(): void {
    if (options.signal?.aborted) {
      close();
      return;
    }
    unwatch ??= env.page && watchPage(env.page, options.pauseWhenHidden ?? false, page);
    delivery.start();
    connection.start();
  }

  const page = {
    wake: connection.wake,
    pause(reason: "hidden" | "frozen") {
      connection.stop();
      setStage({ status: "paused", reason });
    },
    resume() {
      if (state.status === "paused") connection.start();
    },
  };

  function close(): void {
    connection.stop();
    delivery.stop();
    end();
  }

  function end(error?: Failure): void {
    unwatch?.();
    unwatch = undefined;
    setStage({ status: "closed", error });
  }
  options.signal?.addEventListener("abort", close, { once: true });

  function add<T>(
    handlers: Set<(value: T) => unknown>,
    handler: (value: T) => unknown,
  ): () => void {
    // Wrapped, so that one function may be registered twice and taken away once.
    const own = (value: T) => handler(value);
    handlers.add(own);
    connect();
    return () => void handlers.delete(own);
  }

  type AnyEvent = TidingsEvent<Events[keyof Events]>;

  async function* iterate(): AsyncGenerator<AnyEvent, void, undefined> {
    let wake: (() => void) | undefined;
    let handled: (() => void) | undefined;
    let event: AnyEvent | undefined;
    // An event counts as handled when the next one is asked for, so no second one is ever waiting.
    const off = add(forAny, (offered: AnyEvent) => {
      event = offered;
      wake?.();
      return new Promise<void>((resolve) => {
        handled = resolve;
      });
    });
    const unsubscribe = subscribe(() => wake?.());
    try {
      for (;;) {
        if (event) {
          const given = event;
          event = undefined;
          yield given;
          handled?.();
        } else if (state.status === "closed") {
          if (state.error) throw new TidingsError(state);
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      off();
      unsubscribe();
      handled?.();
    }
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  return {
    get cursor() {
      return cursor;
    },
    cache: options.cache,
    getSnapshot: () => state,
    subscribe,
    on(type, handler: EventHandler<never>) {
      const handlers = byType.get(type) ?? new Set();
      byType.set(type, handlers);
      return add(handlers, handler);
    },
    onAny: (handler) => add(forAny, handler),
    onGap: (handler) => add(forGaps, handler),
    connect,
    reconnect() {
      connection.stop(true);
      start();
    },
    close,
    [Symbol.asyncIterator]: iterate,
  };
}

function endpoints({ url, sseEndpoint, pollingEndpoint }: TidingsOptions) {
  const base = url && String(url).replace(/\/+$/, "");
  const found = {
    sseEndpoint: sseEndpoint ? `${sseEndpoint}` : base && `${base}/api/sse`,
    pollingEndpoint: pollingEndpoint ? `${pollingEndpoint}` : base && `${base}/api/polling`,
  };
  if (found.sseEndpoint || found.pollingEndpoint) return found;
  throw new TypeError("no address: give `url`, `sseEndpoint` or `pollingEndpoint`");
}

/** Globals are looked up when they are used, so that importing touches none and tests may replace them. */
function environment({ fetch, environment }: TidingsOptions): Environment {
  const page = globalThis as unknown as Partial<PageSource>;
  return {
    fetch: (input, init) => (fetch ?? globalThis.fetch)(input, init),
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (timer) => clearTimeout(timer as number),
    now: () => Date.now(),
    random: () => Math.random(),
    page: page.document && page.addEventListener ? (page as PageSource) : undefined,
    ...environment,
  };
}

/** The page's own storage, where there is one and it may be used. */
function sessionStorage(): TextStorage | undefined {
  return attempt(() => globalThis.sessionStorage);
}

/** What it returns, or nothing when it throws: a storage may be forbidden or full; then nothing is kept. */
function attempt<T>(use: () => T, failed?: (error: unknown) => void): T | undefined {
  try {
    return use();
  } catch (error) {
    failed?.(error);
    return undefined;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}
