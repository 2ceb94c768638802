// One GET of a subscriber: its URL and headers, and what an answer that is not 200 means. Stream and polls
// read the body themselves.

import { retryAfterMs } from "./backoff.ts";
import type { Environment, Failure } from "./types.ts";

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
  signal: AbortSignal;
}

/** Sends it. Rejects as `fetch` does. */
export function send(request: Request): Promise<Response> {
  const { env, endpoint, query, accept, cursor, token, credentials, signal } = request;
  const headers: Record<string, string> = { ...request.headers, Accept: accept };
  if (cursor) headers["Last-Event-ID"] = cursor;
  if (token) headers.Authorization = `Bearer ${token}`;
  const [before = ""] = endpoint.split("#");
  const more = new URLSearchParams(query as [string, string][]).toString();
  const url = more ? before + (before.includes("?") ? "&" : "?") + more : before;
  // Redirects are not followed: a credential belongs to the address that the application named.
  return env.fetch(url, { headers, credentials, signal, cache: "no-store", redirect: "manual" });
}

/** Why the answer is no good; nothing when it is 200 and of the type asked for. */
export async function refusal(
  response: Response,
  contentType: string,
  now: number,
): Promise<Failure | undefined> {
  const { status } = response;
  const type = response.headers.get("Content-Type") ?? "";
  if (status === 200) {
    const essence = type.split(";")[0]?.trim().toLowerCase();
    if (essence === contentType) return undefined;
    discard(response);
    return { kind: "content", message: `expected ${contentType} and got '${type}'`, status };
  }
  const retryMs = retryAfterMs(response.headers.get("Retry-After"), now);
  const problem = type.includes("json") ? await readProblem(response) : {};
  discard(response);
  return {
    kind: "status",
    status,
    message:
      problem.detail ?? problem.title ?? `the server answered ${status || "with a redirect"}`,
    ...(problem.code === undefined ? {} : { code: problem.code }),
    ...(retryMs === undefined ? {} : { retryMs }),
  };
}

interface Problem {
  code?: string;
  title?: string;
  detail?: string;
}

async function readProblem(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => "");
  if (text.length > PROBLEM_CHARS_MAX) return {};
  const problem = parseJson(text) as Problem | null;
  if (typeof problem !== "object" || !problem) return {};
  return problem;
}

/** Lets go of a body that nobody reads. */
export function discard(response: Response): void {
  if (!response.bodyUsed) void response.body?.cancel().catch(() => undefined);
}

/** What the text says as JSON, or nothing. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What `fetch` or a body threw, in words. */
export function broke(error: unknown): Failure {
  return { kind: "network", message: error instanceof Error ? error.message : String(error) };
}
