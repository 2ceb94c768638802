// A world for the client's rules: a clock that a test moves, and a server that answers as the test's script
// says. No time passes and no socket is opened.

import { createTidings } from "../src/client.ts";
import type { Environment, PageSource, State, Tidings, TidingsOptions } from "../src/types.ts";

/** What the server does with one request. */
export interface Answer {
  status?: number;
  type?: string;
  headers?: Record<string, string>;
  /** Parts of the body, each so many milliseconds after the answer began. */
  body?: readonly (readonly [atMs: number, text: string])[];
  /** When the body ends; it stays open unless given. */
  endsAtMs?: number;
  /** The connection breaks in place of ending. */
  breaks?: boolean;
  /** Nothing ever comes. */
  hangs?: boolean;
  /** There is no server. */
  refused?: boolean;
}

export interface Asked {
  atMs: number;
  path: string;
  query: URLSearchParams;
  headers: Record<string, string>;
  init: RequestInit;
  /** When the client let go of it, if it did. */
  abandonedAtMs?: number;
}

export interface World {
  env: Environment;
  asked: Asked[];
  /** Seconds and path of each request, in short. */
  times(): string[];
  advance(ms: number): Promise<void>;
  /** Timers that are armed. */
  timers(): number;
  client(options?: Partial<TidingsOptions>): Tidings & { states: State[] };
}

/** Answers in order, the last one again for what comes after; or by the time of the request. */
export type Answers = readonly Answer[] | ((atMs: number, query: URLSearchParams) => Answer);

export interface Script {
  sse: Answers;
  polling?: Answers;
}

export function createWorld(script: Script, page?: PageSource): World {
  let now = 0;
  let timers: { at: number; callback: () => void }[] = [];
  const asked: Asked[] = [];
  const counts = { sse: 0, polling: 0 };

  function setTimer(callback: () => void, ms: number) {
    const timer = { at: now + Math.max(ms, 0), callback };
    timers.push(timer);
    return timer;
  }
  function clearTimer(timer: unknown) {
    timers = timers.filter((other) => other !== timer);
  }

  const env: Environment = {
    // Not 0, so that a time that is absent and the beginning of time are not the same.
    now: () => 1_000_000 + now,
    random: () => 1,
    setTimeout: setTimer,
    clearTimeout: clearTimer,
    page,
    fetch: (input, init) => {
      const url = new URL(input);
      const kind = url.pathname.endsWith("polling") ? "polling" : "sse";
      const one: Asked = {
        atMs: now,
        path: url.pathname,
        query: url.searchParams,
        headers: init.headers as Record<string, string>,
        init,
      };
      asked.push(one);
      const answers = script[kind] ?? [{ status: 404 }];
      const answer =
        typeof answers === "function"
          ? answers(now, url.searchParams)
          : (answers[Math.min(counts[kind]++, answers.length - 1)] ?? {});
      const signal = init.signal as AbortSignal;
      return new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => {
          one.abandonedAtMs ??= now;
          reject(new DOMException("aborted", "AbortError"));
        });
        if (answer.refused) reject(new TypeError("connection refused"));
        else if (!answer.hangs) resolve(respond(answer, kind, signal));
      });
    },
  };

  function respond(answer: Answer, kind: "sse" | "polling", signal: AbortSignal): Response {
    const { status = 200, body = [], endsAtMs, breaks } = answer;
    const type = answer.type ?? (kind === "sse" ? "text/event-stream" : "application/json");
    const headers = {
      "Content-Type": status === 200 ? type : "application/problem+json",
      ...answer.headers,
    };
    if (status === 204 || status === 304) return new Response(null, { status, headers });
    const own: unknown[] = [];
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const [atMs, text] of body) {
          own.push(setTimer(() => controller.enqueue(new TextEncoder().encode(text)), atMs));
        }
        const ends = endsAtMs ?? (status === 200 && kind === "sse" && !breaks ? undefined : 0);
        if (ends !== undefined) {
          own.push(
            setTimer(
              () => (breaks ? controller.error(new TypeError("reset")) : controller.close()),
              ends,
            ),
          );
        }
        signal.addEventListener("abort", () => {
          for (const timer of own) clearTimer(timer);
          try {
            controller.error(new DOMException("aborted", "AbortError"));
          } catch {
            // It had ended already.
          }
        });
      },
      cancel: () => {
        for (const timer of own) clearTimer(timer);
      },
    });
    return new Response(stream, { status, headers });
  }

  /** Lets everything run that waits for no timer. */
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  return {
    env,
    asked,
    times: () => asked.map(({ atMs, path }) => `${atMs / 1_000} ${path.slice("/api/".length)}`),
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const due = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        now = Math.max(now, due.at);
        clearTimer(due);
        due.callback();
        await settle();
      }
      now = end;
    },
    timers: () => timers.length,
    client(options = {}) {
      const client = createTidings({ url: "http://hub.test", environment: env, ...options });
      const states: State[] = [];
      client.subscribe(() => states.push(client.getSnapshot()));
      return Object.assign(Object.create(client, {}), { states }) as Tidings & { states: State[] };
    },
  };
}

/** The blocks that a hub sends first. */
export function connected(cursor = "k7q2m9x1-1", more: object = {}): string {
  const said = { cursor, resumed: true, heartbeatSecs: 15, user: "42", ...more };
  return block("tidings.connected", said, cursor);
}

export function block(type: string, data: unknown, id?: string): string {
  return `${id ? `id: ${id}\n` : ""}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** An answer of the polling endpoint. */
export function page(events: [id: string, data: unknown][], more: object = {}): Answer {
  const body = {
    events: events.map(([id, data]) => ({
      id,
      type: "message",
      topics: ["a"],
      data,
      timestamp: 5,
    })),
    cursor: events.at(-1)?.[0] ?? "k7q2m9x1-1",
    hasMore: false,
    resumed: true,
    gap: null,
    user: "42",
    pollAfterMs: 10_000,
    ...more,
  };
  return { body: [[0, JSON.stringify(body)]] };
}
