// One GET of a subscriber: its URL and headers, and what an answer that is not 200 means. Stream and polls
// read the body themselves.

import { retryAfterMs } from "./backoff.ts";
import type { Environment, Failure } from "./types.ts";
import { createWatchdog, type Watchdog } from "./watchdog.ts";

/** Characters of a problem document that are looked at. */
const PROBLEM_CHARS_MAX = 16_384;

export interface Request {
  env: Environment;
  endpoint: string;
  query: readonly (readonly [name: string, value: string])[];
  accept: string;
  headers: Record<string, string>;
  credentials: RequestCredentials;
  cursor: string | undefined;
  token: string | undefined;
  /** Ends it. Aborted without a failure as its reason, nobody wants to know of its end. */
  abort: AbortController;
}

/** Sends it. Rejects as `fetch` does. */
export function send(request: Request): Promise<Response> {
  const { env, endpoint, query, accept, cursor, token, credentials } = request;
  const headers: Record<string, string> = { ...request.headers, Accept: accept };
  if (cursor) headers["Last-Event-ID"] = cursor;
  if (token) headers.Authorization = `Bearer ${token}`;
  const [before = ""] = endpoint.split("#");
  const more = new URLSearchParams(query as [string, string][]).toString();
  const url = more ? before + (before.includes("?") ? "&" : "?") + more : before;
  // Redirects are not followed: a credential belongs to the address that the application named.
  const { signal } = request.abort;
  return env.fetch(url, { headers, credentials, signal, cache: "no-store", redirect: "manual" });
}

/**
 * Does all of a request under a watchdog. Silence, a throw and an end from outside become what they mean; the
 * last of them is told by nothing.
 */
export async function watched<T>(
  { env, abort }: Request,
  limitMs: number,
  silence: () => string,
  work: (dog: Watchdog) => Promise<T>,
): Promise<T | Failure | undefined> {
  const dog = createWatchdog(env, limitMs, () => {
    abort.abort({ kind: "silent", message: silence() } satisfies Failure);
  });
  let result: T | Failure;
  try {
    result = await work(dog);
  } catch (error) {
    result = failureOf(error, "network");
  }
  dog.stop();
  const { aborted, reason } = abort.signal;
  // Lets go of the connection, whoever ended it.
  abort.abort();
  return aborted ? (reason as Failure).kind && (reason as Failure) : result;
}

/** Why the answer is no good; nothing when it is 200 and of the type asked for. */
export async function refusal(
  response: Response,
  { accept, env }: Request,
): Promise<Failure | undefined> {
  const { status } = response;
  const type = response.headers.get("Content-Type") ?? "";
  if (status === 200) {
    const essence = type.split(";")[0]?.trim().toLowerCase();
    if (essence === accept) return undefined;
    return { kind: "content", message: `expected ${accept} and got '${type}'`, status };
  }
  const retryMs = retryAfterMs(response.headers.get("Retry-After"), env.now());
  const text = type.includes("json") ? await readText(response, PROBLEM_CHARS_MAX) : undefined;
  const problem: Problem = Object(parseJson(text ?? ""));
  const message =
    problem.detail ?? problem.title ?? `the server answered ${status || "with a redirect"}`;
  return { kind: "status", status, message, code: problem.code, retryMs };
}

interface Problem {
  code?: string;
  title?: string;
  detail?: string;
}

/** The body, unless it is longer than that. */
export async function readText(
  response: Response,
  charsMax: number,
  heard?: () => void,
): Promise<string | undefined> {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let text = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    heard?.();
    text += decoder.decode(part.value, { stream: true });
    if (text.length > charsMax) return undefined;
  }
  return text + decoder.decode();
}

/** What the text says as JSON, or nothing. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What was thrown, as a failure. */
export function failureOf(thrown: unknown, kind: Failure["kind"]): Failure {
  return { kind, message: thrown instanceof Error ? thrown.message : String(thrown) };
}
