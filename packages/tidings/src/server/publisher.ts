// What the application's servers do: publish, disconnect a user, borrow the rate limiter. Every event goes out
// with a key, so that trying again cannot publish it twice.

import { fromEnvironment } from "./env.ts";
import { createRateLimiter, type RateLimiter } from "./rate-limiter.ts";
import { type Problem, post, type Server } from "./requests.ts";

/** Events in one request; the server's `batch_events_max` unless it was lowered. */
const BATCH_EVENTS_MAX = 1_000;
/** Well before the ten minutes for which the server remembers a key. */
const TRYING_MS_DEFAULT = 30_000;

/** An event without its addressees. */
export interface EventContent {
  /** `message` unless given. */
  type?: string;
  /** Any JSON. */
  data?: unknown;
  /** A string to carry raw, in place of `data`. */
  text?: string;
  /** Seconds it is retained, when that is less than the server's own. */
  ttlSecs?: number;
  /** Makes a retry safe, also one of a later process. Made up unless given. */
  key?: string;
}

/** An event, and who it is for: at least one topic, user, or everyone. */
export interface EventToPublish extends EventContent {
  topic?: string;
  topics?: readonly string[];
  user?: string;
  users?: readonly string[];
  broadcast?: boolean;
}

/** An event that was taken. */
export interface Published {
  /** Its id, which is the cursor of a reader for whom it was the last. */
  readonly id: string;
  /** What the answer promises: `memory` survives no restart. */
  readonly durability: string;
}

/** What became of one event of many. */
export type PublishResult = Published | { readonly error: Problem };

/** What came of disconnecting a user. */
export interface Disconnected {
  /** Streams closed, and polls answered. */
  readonly closed: number;
  /** Until when what was issued before is refused, milliseconds since the Unix epoch. */
  readonly until: number;
}

/** What `Tidings` and its fake have in common. */
export interface TidingsServer {
  /** Publishes one event. Rejects with `TidingsRequestError` when it was refused or its fate is unknown. */
  publish(event: EventToPublish): Promise<Published>;
  /** Publishes many in order, each taken or refused for itself. */
  publishMany(events: readonly EventToPublish[]): Promise<PublishResult[]>;
  /** Publishes to one user's own topic. */
  toUser(userId: string, event: EventContent): Promise<Published>;
  /** Publishes to everyone. */
  broadcast(event: EventContent): Promise<Published>;
  /** Closes the user's streams, and refuses every credential issued up to now. */
  disconnectUser(userId: string): Promise<Disconnected>;
  /** The server's limiter, for the application's own routes. */
  readonly rateLimiter: RateLimiter;
}

/** Which server, and by what right. */
export interface TidingsServerOptions {
  /** The server's address with its base path. */
  url: string | URL;
  /** A key with the scopes for what is done: `publish`, and `admin` to disconnect. */
  apiKey: string;
  /** Used in place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** How long to try before giving up, milliseconds; 30,000 unless given. */
  tryingMs?: number;
}

export class Tidings implements TidingsServer {
  readonly rateLimiter: RateLimiter;
  readonly #server: Server;

  constructor(options: TidingsServerOptions) {
    const { url, apiKey, tryingMs = TRYING_MS_DEFAULT } = options;
    if (!apiKey) throw new Error("no API key: set TIDINGS_API_KEY, or give `apiKey`");
    this.#server = {
      url: new URL(url).href.replace(/\/+$/, ""),
      apiKey,
      tryingMs,
      fetch: (input, init) => (options.fetch ?? globalThis.fetch)(input, init),
    };
    this.rateLimiter = createRateLimiter(this.#server);
  }

  /** Reads `TIDINGS_URL` (`http://127.0.0.1:4000` unless set) and `TIDINGS_API_KEY`. */
  static fromEnv(options: Partial<TidingsServerOptions> = {}): Tidings {
    return new Tidings({
      url: fromEnvironment("TIDINGS_URL") ?? "http://127.0.0.1:4000",
      apiKey: fromEnvironment("TIDINGS_API_KEY") ?? "",
      ...options,
    });
  }

  async publish(event: EventToPublish): Promise<Published> {
    return (await post(this.#server, "/api/events", withKey(event))) as Published;
  }

  async publishMany(events: readonly EventToPublish[]): Promise<PublishResult[]> {
    const results: PublishResult[] = [];
    for (let from = 0; from < events.length; from += BATCH_EVENTS_MAX) {
      const batch = events.slice(from, from + BATCH_EVENTS_MAX).map(withKey);
      const answer = (await post(this.#server, "/api/events", batch)) as {
        results: PublishResult[];
      };
      results.push(...answer.results);
    }
    return results;
  }

  toUser(userId: string, event: EventContent): Promise<Published> {
    return this.publish({ ...event, user: userId });
  }

  broadcast(event: EventContent): Promise<Published> {
    return this.publish({ ...event, broadcast: true });
  }

  async disconnectUser(userId: string): Promise<Disconnected> {
    return (await post(this.#server, "/api/revocations", { user: userId })) as Disconnected;
  }
}

function withKey(event: EventToPublish): EventToPublish {
  return { ...event, key: event.key ?? crypto.randomUUID() };
}
