// One GET of a subscriber: its token, its URL and headers, the watch over it, and what an answer that is not
// 200 means. Stream and polls read the body themselves.

import { retryAfterMs } from "./backoff.ts";
import type { Tokens } from "./tokens.ts";
import type { Environment, Failure, Timing } from "./types.ts";
import { createWatchdog, type Watchdog } from "./watchdog.ts";

/** Characters of a problem document that are looked at. */
const PROBLEM_CHARS_MAX = 16_384;

/** What all requests of a client share. */
export interface Requesting {
  env: Environment;
  timing: Timing;
  tokens: Tokens;
  headers: Record<string, string>;
  credentials: RequestCredentials;
  /** The cursor and the query, asked for when the token is there: the place may have moved meanwhile. */
  ask(): [cursor: string | undefined, query: string[][]];
}

/** Whoever asks, and what it asked with last. */
export interface Asker {
  /** Ends it. Aborted without a failure as its reason, nobody wants to know of its end. */
  abort: AbortController;
  token?: string | undefined;
  /** The cursor. */
  offered: string | undefined;
}

/**
 * Asks once, and has an answer of 200 used. Silence for longer than the limit, a refusal, a throw and an end from
 * outside become what they mean; the last of them is told by nothing.
 */
export async function request<T>(
  { env, timing, tokens, headers, credentials, ask }: Requesting,
  asker: Asker,
  endpoint: string,
  more: string[][],
  accept: string,
  limitMs: number,
  silence: () => string,
  use: (response: Response, dog: Watchdog) => Promise<T>,
): Promise<T | Failure | undefined> {
  const { abort } = asker;
  const { signal } = abort;
  let kind: Failure["kind"] = "token";
  let dog: Watchdog | undefined;
  let result: T | Failure;
  try {
    asker.token = await inTime(tokens.get(), env, timing.connectMs);
    kind = "network";
    const [cursor, query] = ask();
    asker.offered = cursor;
    dog = createWatchdog(env, limitMs, () => {
      abort.abort({ kind: "silent", message: silence() } satisfies Failure);
    });
    const response = await env.fetch(withQuery(endpoint, [...query, ...more]), {
      headers: {
        ...headers,
        Accept: accept,
        ...(cursor && { "Last-Event-ID": cursor }),
        ...(asker.token && { Authorization: `Bearer ${asker.token}` }),
      },
      credentials,
      signal,
      cache: "no-store",
      // Not followed: a credential belongs to the address that the application named.
      redirect: "manual",
    });
    const refused = await refusal(response, accept, env.now());
    if (!refused) tokens.accepted(asker.token);
    result = refused ?? (await use(response, dog));
  } catch (error) {
    result = failureOf(error, kind);
  }
  dog?.stop();
  const { aborted, reason } = signal;
  // Lets go of the connection, whoever ended it.
  abort.abort();
  return aborted ? (reason as Failure).kind && (reason as Failure) : result;
}

/** The token, unless the application takes too long to get it. */
function inTime<T>(token: Promise<T>, env: Environment, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const deadline = env.setTimeout(() => reject(new Error(`no token in ${ms} ms`)), ms);
    token.finally(() => env.clearTimeout(deadline)).then(resolve, reject);
  });
}

function withQuery(endpoint: string, query: string[][]): string {
  const [before = ""] = endpoint.split("#");
  const more = `${new URLSearchParams(query)}`;
  return more ? before + (before.includes("?") ? "&" : "?") + more : before;
}

/** Why the answer is no good; nothing when it is 200 and of the type asked for. */
async function refusal(
  response: Response,
  accept: string,
  now: number,
): Promise<Failure | undefined> {
  const { status, headers } = response;
  const type = headers.get("Content-Type") ?? "";
  if (status === 200) {
    if (type.split(";")[0]?.trim().toLowerCase() === accept) return undefined;
    return { kind: "content", message: `expected ${accept} and got '${type}'`, status };
  }
  const text = type.includes("json") && (await readText(response, PROBLEM_CHARS_MAX));
  const { code, title, detail }: Problem = Object(parseJson(text || ""));
  return {
    kind: "status",
    status,
    message: detail ?? title ?? `the server answered ${status || "with a redirect"}`,
    code,
    retryMs: retryAfterMs(headers.get("Retry-After"), now),
  };
}

interface Problem {
  code?: string;
  title?: string;
  detail?: string;
}

/** The body, piece by piece. */
export async function readBody(
  response: Response,
  read: (part: Uint8Array) => unknown,
): Promise<void> {
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    if (await read(part.value)) return;
  }
}

/** The body, unless it is longer than that. */
export async function readText(
  response: Response,
  charsMax: number,
  heard?: () => void,
): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  await readBody(response, (part) => {
    heard?.();
    text += decoder.decode(part, { stream: true });
    return text.length > charsMax;
  });
  text += decoder.decode();
  return text.length > charsMax ? undefined : text;
}

/** What the text says as JSON, or nothing. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What the text says as JSON, or the text itself. */
export function dataOf(text: string): unknown {
  const json = parseJson(text);
  return json === undefined ? text : json;
}

/** What was thrown, as a failure. */
export function failureOf(thrown: unknown, kind: Failure["kind"]): Failure {
  return { kind, message: `${(thrown as Error | undefined)?.message ?? thrown}` };
}
