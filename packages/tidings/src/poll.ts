// One poll: what came after a cursor, now or within a wait. Knows nothing of when the next one is due.

import { parseJson, type Request, readText, refusal, send, watched } from "./request.ts";
import type { Failure, Gap } from "./types.ts";

/** Events asked for in one answer: the most that a server gives, since each request may count against a limit. */
const EVENTS_MAX = 1_000;
/** Characters of one answer that are held. A server ends an answer at 4 MiB and one event. */
const ANSWER_CHARS_MAX = 33_554_432;

/** The answer, as far as it matters here. */
export interface Page {
  readonly events: readonly {
    readonly id: string;
    readonly type?: string;
    readonly topics?: readonly string[];
    readonly data?: unknown;
    readonly text?: string;
    readonly timestamp?: number;
  }[];
  readonly cursor?: string;
  readonly hasMore?: boolean;
  readonly resumed?: boolean;
  readonly gap?: Gap | null;
  readonly user?: string | null;
  readonly pollAfterMs?: number;
}

/** Asks once. Resolves to nothing when the request was ended from outside. */
export function poll(
  request: Request,
  waitSecs: number,
  answerMs: number,
  accepted: () => void,
): Promise<Page | Failure | undefined> {
  const wait = waitSecs ? [["wait", String(waitSecs)] as const] : [];
  const query = [...request.query, ...wait, ["limit", String(EVENTS_MAX)] as const];
  const silence = () => "a poll was not answered in time";
  return watched<Page | Failure>(request, waitSecs * 1_000 + answerMs, silence, async (dog) => {
    const response = await send({ ...request, query });
    const refused = await refusal(response, request);
    if (refused) return refused;
    accepted();
    const text = await readText(response, ANSWER_CHARS_MAX, () => dog.limit(answerMs));
    if (text === undefined) return { kind: "too-large", message: "a poll's answer is too large" };
    const page = parseJson(text) as Page | null | undefined;
    if (Array.isArray(page?.events)) return page;
    return { kind: "content", message: "a poll's answer is not a page of events" };
  });
}
