// One POST to the server, tried again as long as that is safe and may help. Knows the wire's errors and nothing
// of what is posted.

const ATTEMPT_MS_MAX = 10_000;
const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 5_000;

/** A problem document of the server. */
export interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly status?: number;
  /** The stable name of the error: branch on it. */
  readonly code?: string;
  /** For people. */
  readonly detail?: string;
}

/** The server has refused, or could not be reached. */
export class TidingsRequestError extends Error {
  override name = "TidingsRequestError";
  /** The answer's status; absent when there was no answer. */
  readonly status: number | undefined;
  readonly code: string | undefined;
  /** What was asked for may have been done all the same: no answer came that says otherwise. */
  readonly outcomeUnknown: boolean;

  constructor(
    message: string,
    status: number | undefined,
    code: string | undefined,
    outcomeUnknown: boolean,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.outcomeUnknown = outcomeUnknown;
  }
}

export interface Server {
  url: string;
  apiKey: string;
  fetch: typeof globalThis.fetch;
  /** How long to try, milliseconds. */
  tryingMs: number;
  /** Attempts at most; as many as there is time for unless given. */
  attemptsMax?: number;
}

/** Posts the same bytes until there is an answer. They must be safe to repeat. */
export async function post(server: Server, path: string, value: unknown): Promise<unknown> {
  const body = JSON.stringify(value);
  const deadline = Date.now() + server.tryingMs;
  for (let failures = 0; ; failures += 1) {
    const outcome = await attempt(server, path, body, deadline - Date.now());
    if ("answer" in outcome) return outcome.answer;
    const { error, mayHelp, askedMs = 0 } = outcome;
    const ceiling = Math.min(BACKOFF_MS_MIN * 2 ** failures, BACKOFF_MS_MAX);
    const waitMs = Math.max(BACKOFF_MS_MIN + Math.random() * (ceiling - BACKOFF_MS_MIN), askedMs);
    const last = failures + 1 === server.attemptsMax;
    if (!mayHelp || last || Date.now() + waitMs >= deadline) throw error;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

type Outcome =
  | { answer: unknown }
  | { error: TidingsRequestError; mayHelp: boolean; askedMs?: number };

async function attempt(
  { url, apiKey, fetch }: Server,
  path: string,
  body: string,
  leftMs: number,
): Promise<Outcome> {
  try {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(Math.max(Math.min(leftMs, ATTEMPT_MS_MAX), 1)),
    });
    const text = await response.text();
    if (response.ok) return { answer: JSON.parse(text) };
    const { status } = response;
    const { code, detail, title } = problemOf(text);
    const mayHelp = status === 408 || status === 425 || status === 429 || status >= 500;
    const message = detail ?? title ?? `the server answered ${status || "with a redirect"}`;
    const askedMs = Number(response.headers.get("Retry-After") ?? 0) * 1_000 || 0;
    return {
      error: new TidingsRequestError(message, status, code, status >= 500),
      mayHelp,
      askedMs,
    };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const message = `no answer from the server, so it is unknown whether this was done: ${why}`;
    return { error: new TidingsRequestError(message, undefined, undefined, true), mayHelp: true };
  }
}

function problemOf(text: string): Problem {
  try {
    return (JSON.parse(text) as Problem | null) ?? {};
  } catch {
    return {};
  }
}
