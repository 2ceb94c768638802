// A `TidingsServer` for the application's own tests: it remembers what was asked of it, and counts limits for
// real. No server, no network; it delivers to nobody.

import type { EventToPublish, Published, TidingsServer } from "./publisher.ts";
import { limiterOf, type RateLimit } from "./rate-limiter.ts";

/** A `TidingsServer` that shows what was asked of it. */
export interface FakeTidings extends TidingsServer {
  /** What was published, oldest first. */
  readonly published: readonly EventToPublish[];
  /** What was published to a user: by id, or with everyone else. */
  publishedTo(userId: string): readonly EventToPublish[];
  /** Users that were disconnected, in order. */
  readonly disconnected: readonly string[];
  /** Forgets everything. */
  reset(): void;
}

/** Takes the place of `Tidings` in tests. `now` is the limiter's clock, in milliseconds. */
export function createFakeTidings(options: { now?(): number } = {}): FakeTidings {
  const { now = () => Date.now() } = options;
  const published: EventToPublish[] = [];
  const disconnected: string[] = [];
  const uses = new Map<string, number[]>();

  async function publish(event: EventToPublish): Promise<Published> {
    const { topic, topics = [], user, users = [], broadcast } = event;
    if (!topic && !topics.length && !user && !users.length && !broadcast) {
      throw new TypeError("an event needs a topic, a user, or `broadcast`");
    }
    published.push(event);
    return { id: `fakefake-${published.length}`, durability: "memory" };
  }

  async function count({ identifier, limit, window }: RateLimit, subject: string) {
    const key = JSON.stringify([identifier, subject]);
    const since = now() - window * 1_000;
    const recent = (uses.get(key) ?? []).filter((at) => at > since);
    const allowed = recent.length < limit;
    if (allowed) recent.push(now());
    uses.set(key, recent);
    const resetSecs = Math.ceil(((recent[0] ?? now()) - since) / 1_000);
    return { allowed, limit, remaining: limit - recent.length, resetSecs };
  }

  return {
    published,
    disconnected,
    publish,
    publishMany: (events) => Promise.all(events.map(publish)),
    toUser: (userId, event) => publish({ ...event, user: userId }),
    broadcast: (event) => publish({ ...event, broadcast: true }),
    async disconnectUser(userId) {
      disconnected.push(userId);
      return { closed: 0, until: now() + 86_400_000 };
    },
    rateLimiter: limiterOf(count),
    publishedTo: (userId) =>
      published.filter(
        ({ user, users, broadcast }) => broadcast || user === userId || users?.includes(userId),
      ),
    reset() {
      published.length = disconnected.length = 0;
      uses.clear();
    },
  };
}
