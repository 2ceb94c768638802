// One poll: what came after a cursor, now or within a wait. Knows nothing of when the next one is due.

import { type Asker, dataOf, parseJson, type Requesting, readText, request } from "./request.ts";
import type { Greeting } from "./stream.ts";
import type { Failure, Gap, TidingsEvent } from "./types.ts";

/** Events asked for in one answer: the most that a server gives, since each request may count against a limit. */
const EVENTS_MAX = 1_000;
/** Characters of one answer that are held. A server ends an answer at 4 MiB and one event. */
const ANSWER_CHARS_MAX = 33_554_432;

/** The answer, as far as it matters here. */
export interface Page extends Greeting {
  readonly events: readonly {
    readonly id: string;
    readonly type?: string;
    readonly topics?: readonly string[];
    readonly data?: unknown;
    readonly text?: string;
    readonly timestamp?: number;
  }[];
  readonly hasMore?: boolean;
  readonly gap?: Gap | null;
  readonly pollAfterMs?: number;
}

/** Asks once. Resolves to nothing when the request was ended from outside. */
export function poll(
  client: Requesting,
  asker: Asker,
  endpoint: string,
  waitSecs: number,
): Promise<Page | Failure | undefined> {
  const { answerMs } = client.timing;
  return request<Page | Failure>(
    client,
    asker,
    endpoint,
    [...(waitSecs ? [["wait", `${waitSecs}`]] : []), ["limit", `${EVENTS_MAX}`]],
    "application/json",
    waitSecs * 1_000 + answerMs,
    () => "no answer in time",
    async (response, dog) => {
      const text = await readText(response, ANSWER_CHARS_MAX, () => dog.limit(answerMs));
      if (text === undefined) return { kind: "too-large", message: "the answer is too large" };
      const page = parseJson(text) as Page | null | undefined;
      if (Array.isArray(page?.events)) return page;
      return { kind: "content", message: "the answer is no page of events" };
    },
  );
}

/** The events of an answer, as a stream would have told them: it does not say whether data is JSON or text. */
export function eventsOf({ events }: Page): TidingsEvent[] {
  return events.map(({ id, type = "message", topics = [], data, text, timestamp: time }) => {
    return { id, type, topics, data: text === undefined ? data : dataOf(text), time };
  });
}
