// The server's rate limiter, lent to the application's own routes. Makes the 429 answer; counting is the
// server's.

import { post, type Server, TidingsRequestError } from "./requests.ts";

/** A request that waits for its limit waits no longer than this; then it goes on. */
const ASKING_MS_MAX = 2_000;

/** A limit of the application's own, and who is counted against it. */
export interface RateLimit {
  /** The limit's name: `comments`, `login`. */
  identifier: string;
  /** How many are let in within the window. */
  limit: number;
  /** The window, seconds. */
  window: number;
  /** Who is counted: the user's id, where there is one. The request's address unless given. */
  subject?: string;
}

/** Counts uses. */
export interface RateLimiter {
  /** A 429 answer when the limit is used up, and nothing when the request may go on. */
  applyRateLimit(request: Request, limit: RateLimit): Promise<Response | undefined>;
}

/** What the server says of one use. */
export interface Verdict {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  readonly resetSecs: number;
}

/** A limiter that asks the server. When it cannot be reached the request goes on: a limit is no lock. */
export function createRateLimiter(server: Server): RateLimiter {
  return limiterOf(async ({ identifier, limit, window }, subject) => {
    try {
      // One attempt: a second might count twice.
      const asked = { identifier, subject, limit, windowSecs: window };
      return (await post(
        { ...server, tryingMs: ASKING_MS_MAX, attemptsMax: 1 },
        "/api/rate-limit",
        asked,
      )) as Verdict;
    } catch (error) {
      if (error instanceof TidingsRequestError && (error.outcomeUnknown || error.status === 429)) {
        return undefined;
      }
      throw error;
    }
  });
}

/** A limiter by anything that can count. */
export function limiterOf(
  count: (limit: RateLimit, subject: string) => Promise<Verdict | undefined>,
): RateLimiter {
  return {
    async applyRateLimit(request, limit) {
      const verdict = await count(limit, limit.subject ?? addressOf(request));
      return !verdict || verdict.allowed ? undefined : refusal(limit, verdict);
    },
  };
}

/** The address that the nearest proxy has written down. What stands left of it is the client's own claim. */
function addressOf({ headers }: Request): string {
  const forwarded = headers.get("x-forwarded-for")?.split(",").at(-1)?.trim();
  return forwarded || headers.get("x-real-ip") || "unknown";
}

function refusal(
  { identifier, window }: RateLimit,
  { limit, remaining, resetSecs }: Verdict,
): Response {
  const wait = Math.max(Math.ceil(resetSecs), 1);
  // A structured field's string; anything but visible ASCII would be no header at all.
  const name = `"${identifier.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
  const problem = {
    type: "urn:tidings:problem:rate-limited",
    title: "Too many requests",
    status: 429,
    code: "rate-limited",
    detail: `No more than ${limit} in ${window} seconds; try again in ${wait}.`,
  };
  return new Response(JSON.stringify(problem), {
    status: 429,
    headers: {
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      "Retry-After": String(wait),
      "RateLimit-Policy": `${name};q=${limit};w=${window}`,
      RateLimit: `${name};r=${remaining};t=${wait}`,
    },
  });
}
