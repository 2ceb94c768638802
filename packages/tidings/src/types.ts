// What the client takes and tells: options, events, gaps, states. Types and nothing else.

import type { EventCache } from "./cache.ts";

/** An event, the same on every transport. */
export interface TidingsEvent<T = unknown> {
  /** Its id, which is the cursor of a reader for whom it was the last. */
  readonly id: string;
  readonly type: string;
  /** Its data: what the text says as JSON, or the text itself when it is not JSON. */
  readonly data: T;
  /** All topics it was published to. */
  readonly topics: readonly string[];
  /** When the server took it, milliseconds since the Unix epoch. */
  readonly time?: number | undefined;
}

/** Events that the subscriber was owed are no longer there: refetch the state, then go on. */
export interface Gap {
  readonly reason: "expired" | "epoch" | "unknown" | "slow" | (string & {});
  /** The subscriber's own patterns that are incomplete. None means: all may be. */
  readonly topics: readonly string[];
  readonly cursor: string;
}

/** Why there is no connection. */
export interface Failure {
  readonly kind:
    | "network" // no connection, or it broke
    | "silent" // nothing was heard in time, though no error was raised
    | "status" // an answer that is not 200
    | "content" // 200, but not a stream or not a page of events
    | "closing" // the server said that it would end the stream
    | "ended" // the stream ended without a word
    | "token" // the application's `token` function failed
    | "too-large"; // a block or an answer larger than the reader holds
  /** For people. */
  readonly message: string;
  readonly status?: number | undefined;
  /** The stable code of the server's problem document, or the reason of `tidings.closing`. */
  readonly code?: string | undefined;
  /** The wait that the server asked for. */
  readonly retryMs?: number | undefined;
}

/** How events are received. */
export type Transport = "sse" | "long-poll" | "poll";

/** What the client is doing. `cursor` is the place as this state began; `client.cursor` is the newest. */
export type State = { readonly cursor: string | undefined } & (
  | { readonly status: "idle" }
  | {
      readonly status: "connecting";
      readonly attempt: number;
      readonly error?: Failure | undefined;
    }
  | { readonly status: "open"; readonly user?: string | null | undefined }
  | {
      readonly status: "retrying";
      /** Failures since the last stable connection. */
      readonly attempt: number;
      /** When the next attempt is made, milliseconds since the Unix epoch. */
      readonly retryAt: number;
      readonly error: Failure;
    }
  | {
      readonly status: "polling";
      readonly transport: "long-poll" | "poll";
      readonly user?: string | null | undefined;
      /** Why there is no stream, unless none is wanted. */
      readonly error?: Failure | undefined;
    }
  | { readonly status: "paused"; readonly reason: "hidden" | "frozen" }
  | {
      readonly status: "closed";
      /** Why, unless `close()` or the signal asked for it. */
      readonly error?: Failure | undefined;
    }
);

/** What the client takes from its surroundings. All can be replaced. */
export interface Environment {
  /** Makes a request. */
  fetch(input: string, init: RequestInit): Promise<Response>;
  /** Calls back once, later. Returns what `clearTimeout` takes. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Takes such a call back. */
  clearTimeout(timer: unknown): void;
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  /** Where a page is shown and hidden; nothing where there is none. */
  page: PageSource | undefined;
  /** Where tabs agree who connects for all: `navigator.locks`, unless given. */
  locks?: LockSource | undefined;
  /** Where tabs speak to each other: a `BroadcastChannel`, unless given. */
  channel?: ChannelSource | undefined;
}

/** The part of `navigator.locks` that is used. */
export interface LockSource {
  /** Calls back once the lock is held, for as long as the returned promise is open. Rejects when it is taken away. */
  request(
    name: string,
    options: { signal?: AbortSignal; steal?: boolean },
    held: () => Promise<void> | undefined,
  ): Promise<unknown>;
}

/** Opens the channel of that name; `heard` is called with what others post to it. */
export type ChannelSource = (
  name: string,
  heard: (message: unknown) => void,
) => {
  /** Tells all others. */
  post(message: unknown): void;
  /** Hears and tells no more. */
  close(): void;
};

/** The part of `window` that is listened to. */
export interface PageSource extends Pick<EventTarget, "addEventListener" | "removeEventListener"> {
  readonly document: Pick<EventTarget, "addEventListener" | "removeEventListener"> & {
    readonly visibilityState: string;
  };
}

/** Waits and bounds. The defaults are what the protocol asks for. */
export interface Timing {
  /** Shortest and longest wait between attempts. */
  backoffMinMs: number;
  backoffMaxMs: number;
  /** The first ceiling of the backoff until the server has said `retry:`. */
  retryMs: number;
  /** How long a stream must live to count as a success. */
  stableMs: number;
  /** Time from a stream's request to its `tidings.connected`. */
  connectMs: number;
  /** The longest silence of a server that has not said another. */
  heartbeatSecs: number;
  /** How long a long poll asks the server to wait, at most 30. */
  waitSecs: number;
  /** How long a poll's answer may be overdue. */
  answerMs: number;
  /** The wait between polls, when it is longer than what the server asks for. */
  pollIntervalMs: number;
}

/** The part of `sessionStorage` that is used. */
export interface TextStorage {
  /** What is kept under the key, or `null`. */
  getItem(key: string): string | null;
  /** Keeps a text under the key. */
  setItem(key: string, value: string): void;
  /** Keeps nothing under the key any more. */
  removeItem(key: string): void;
}

/** Gets a fresh token. `null` means that there is none to be had; what it throws, that it may be tried again. */
export type TokenFunction = () => string | null | undefined | Promise<string | null | undefined>;

/**
 * What an event passes before its cache and its handlers: returns the event, another in its place, or nothing when
 * no handler shall have it. The next event waits for a promise. `withSchemas` makes one of schemas.
 */
export interface Validate<Events extends EventMap = EventMap> {
  (event: TidingsEvent): TidingsEvent | undefined | PromiseLike<TidingsEvent | undefined>;
  /** Known to TypeScript alone: the types that the client's events have after it. */
  readonly "~events"?: Events;
}

/** What a client is made of: where to connect, what to ask for, and who is told what. */
export interface TidingsOptions<Events extends EventMap = EventMap> {
  /** The server's address with its base path: `https://live.example.com`. */
  url?: string | URL;
  /** The stream's address, when it is not `/api/sse` under `url`. */
  sseEndpoint?: string | URL;
  /** The polling address, when it is not `/api/polling` under `url`. */
  pollingEndpoint?: string | URL;
  /** Topics and patterns. Without any, the user's default topics. */
  topics?: readonly string[];
  /** Event types wanted. Without any, all. */
  types?: readonly string[];
  /** Where to start without a cursor: a count, a duration such as `5m`, or `all`. */
  rewind?: string | number;
  /** Where to start. It beats a kept cursor and `rewind`. */
  cursor?: string;
  /** A token, or a function that gets a fresh one. */
  token?: string | TokenFunction;
  /** Headers of every request. */
  headers?: Record<string, string>;
  /** Whether cookies are sent; `same-origin` unless given. */
  credentials?: RequestCredentials;
  /** What may be used, in order of preference: all three unless given. */
  transports?: readonly Transport[];
  /** The server speaks the standard's event stream and nothing of Tidings: no first event is awaited. */
  plain?: boolean;
  /** Whose events these are. With it the cursor is kept over a reload of the page. */
  user?: string;
  /**
   * One connection for all tabs of the origin that ask for the same as the same `user`, which must be given.
   * Where the browser lacks Web Locks or `BroadcastChannel`, and with `plain`, each tab has its own.
   */
  shareTabs?: boolean;
  /** Where the cursor is kept: `sessionStorage` where there is one. */
  storage?: TextStorage;
  /** Remembers recent events for whoever asks later. */
  cache?: EventCache;
  /** Checks each event, and may replace it, before anyone sees it. What it throws is as if a handler threw it. */
  validate?: Validate<Events>;
  /** Disconnects while the page is hidden. Hidden pages stay connected otherwise. */
  pauseWhenHidden?: boolean;
  /** Events were lost: refetch. What follows waits for the promise, if one is returned. */
  onGap?: (gap: Gap) => unknown;
  /** What a handler threw. Without it such errors go where uncaught errors go. */
  onHandlerError?: (error: unknown) => void;
  /** Ends the client when it is aborted. */
  signal?: AbortSignal;
  /** Used in place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Replaces parts of the surroundings, for tests. */
  environment?: Partial<Environment>;
  /** Replaces some waits and bounds. */
  timing?: Partial<Timing>;
}

/** A map of event types to the type of their data. */
export type EventMap = Record<string, unknown>;

/** Handles an event. When it returns a promise, the next event waits for it. */
export type EventHandler<T> = (event: TidingsEvent<T>) => unknown;

/** The client. It connects when it is first listened to. */
export interface Tidings<Events extends EventMap = EventMap>
  extends AsyncIterable<TidingsEvent<Events[keyof Events]>> {
  /** Everything up to here has been handled. */
  readonly cursor: string | undefined;
  /** The cache of the options. */
  readonly cache: EventCache | undefined;
  /** The state; the same object until it changes. */
  getSnapshot(): State;
  /** Calls back after each change of the state. Returns the way to stop. */
  subscribe(listener: () => void): () => void;
  /**
   * Handles events of one type, one at a time and in order. When the handler returns a promise, the next
   * event waits for it; the cursor moves on after that. Returns the way to stop.
   */
  on<Type extends keyof Events & string>(
    type: Type,
    handler: EventHandler<Events[Type]>,
  ): () => void;
  /** Handles events of every type. */
  onAny(handler: EventHandler<Events[keyof Events]>): () => void;
  /** Is told of gaps, as `onGap` of the options is. */
  onGap(handler: (gap: Gap) => unknown): () => void;
  /** Connects, if that has not begun. Listening does it too. */
  connect(): void;
  /** Drops what there is and connects anew, also after the client was closed. */
  reconnect(): void;
  /** Ends. Nothing is handled after this. */
  close(): void;
}
