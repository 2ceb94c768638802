// One poll: what came after a cursor, now or within a wait. Knows nothing of when the next one is due.

import {
  type Asker,
  dataOf,
  parseJson,
  type Request,
  type Requesting,
  readText,
  request,
} from "./request.ts";
import type { Failure, Gap, TidingsEvent } from "./types.ts";

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
  client: Requesting,
  asker: Asker,
  asked: Pick<Request, "endpoint" | "ask">,
  waitSecs: number,
): Promise<Page | Failure | undefined> {
  const { answerMs } = client.timing;
  const how: Request = {
    endpoint: asked.endpoint,
    accept: "application/json",
    ask() {
      const { cursor, query } = asked.ask();
      if (waitSecs) query.push(["wait", `${waitSecs}`]);
      query.push(["limit", `${EVENTS_MAX}`]);
      return { cursor, query };
    },
    limitMs: waitSecs * 1_000 + answerMs,
    silence: () => "a poll was not answered in time",
  };
  return request<Page | Failure>(client, asker, how, async (response, dog) => {
    const text = await readText(response, ANSWER_CHARS_MAX, () => dog.limit(answerMs));
    if (text === undefined) return { kind: "too-large", message: "a poll's answer is too large" };
    const page = parseJson(text) as Page | null | undefined;
    if (Array.isArray(page?.events)) return page;
    return { kind: "content", message: "a poll's answer is not a page of events" };
  });
}

/** The events of an answer, as a stream would have told them: it does not say whether data is JSON or text. */
export function eventsOf({ events }: Page): TidingsEvent[] {
  return events.map(({ id, type = "message", topics = [], data, text, timestamp: time }) => {
    return { id, type, topics, data: text === undefined ? data : dataOf(text), time };
  });
}
