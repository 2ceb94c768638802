// A server with a log, streams and polls, in the world's time: the part of the protocol that decides who gets
// what. What is on its way to a frozen tab waits there, as bytes do in a socket.

import type { Environment } from "../src/types.ts";
import type { Tab } from "./tabs.ts";
import { block, connected, type World } from "./world.ts";

const HEARTBEAT_MS = 10_000;
const PAGE_EVENTS_MAX = 20;

interface Logged {
  position: number;
  atMs: number;
  /** What the event says; nothing when it is for others. */
  data: unknown;
}

interface Stream {
  tab: Tab;
  position: number;
  write(text: string): void;
  cut(): void;
}

export interface LogServer {
  /** The requests so far: the path and who made it. */
  readonly asked: { path: string; tab: Tab; atMs: number }[];
  /** Streams that are open. */
  readonly streams: ReadonlySet<{ tab: Tab }>;
  fetch(tab: Tab): Environment["fetch"];
  publish(data: unknown): void;
  /** Something for others: positions move on, and nobody is told before the next heartbeat. */
  publishElsewhere(): void;
  /** The data of the last event up to there, whatever has been lost since. */
  lastUpTo(cursor: string): unknown;
  /** Every stream breaks. */
  cut(): void;
  /** The log is lost. */
  restart(): void;
  /** Only so many events are kept from now on. */
  keep(eventsMax: number): void;
  /** Answers every request with this from now on. */
  refuse(status: number): void;
}

export function createLogServer(world: World): LogServer {
  let epoch = 0;
  let position = 0;
  let log: Logged[] = [];
  let dropped = 0;
  let eventsMax = Number.POSITIVE_INFINITY;
  let refusal: number | undefined;
  const streams = new Set<Stream>();
  const asked: { path: string; tab: Tab; atMs: number }[] = [];
  /** Every event there ever was, by its epoch. */
  const history: Logged[][] = [];

  const cursorAt = (at: number) => `k7q2m9x${epoch}-${at}`;

  function append(data: unknown): void {
    position += 1;
    const event = { position, atMs: world.env.now(), data };
    log.push(event);
    history[epoch] = [...(history[epoch] ?? []), event];
    while (log.length > eventsMax) dropped = log.shift()?.position ?? dropped;
    for (const stream of streams) flush(stream);
  }

  function flush(stream: Stream): void {
    for (const event of log) {
      if (event.position <= stream.position || event.data === undefined) continue;
      stream.write(
        `id: ${cursorAt(event.position)}\ntopic: a\ndata: ${JSON.stringify(event.data)}\n\n`,
      );
    }
    stream.position = position;
  }

  function beat(): void {
    for (const stream of streams) stream.write(`id: ${cursorAt(position)}\n\n`);
    world.env.setTimeout(beat, HEARTBEAT_MS);
  }
  beat();

  /** Where a reader starts, and what it is told has been lost. */
  function begin(cursor: string | undefined, rewind: string | null) {
    const [, of, text] = /^k7q2m9x(\d+)-(\d+)$/.exec(cursor ?? "") ?? [];
    if (!cursor) {
      const since = rewind ? world.env.now() - Number.parseInt(rewind, 10) * 1_000 : undefined;
      const first = since === undefined ? undefined : log.find(({ atMs }) => atMs >= since);
      return { from: first ? first.position - 1 : position, gap: undefined, resumed: false };
    }
    const from = of === String(epoch) ? Number(text) : dropped;
    const lost = of !== String(epoch) ? "epoch" : from < dropped ? "expired" : undefined;
    const gap = lost && { reason: lost, topics: ["a"], cursor: cursorAt(from) };
    return { from, gap, resumed: !gap };
  }

  function stream(tab: Tab, signal: AbortSignal, begun: ReturnType<typeof begin>): Response {
    let controller: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start(given) {
        controller = given;
      },
    });
    const own: Stream = {
      tab,
      position: begun.from,
      write: (text) =>
        tab.run(() => streams.has(own) && controller.enqueue(new TextEncoder().encode(text))),
      cut() {
        streams.delete(own);
        tab.run(() => !signal.aborted && controller.error(new TypeError("reset")));
      },
    };
    streams.add(own);
    signal.addEventListener("abort", () => {
      if (streams.delete(own)) controller.error(new DOMException("aborted", "AbortError"));
    });
    tab.onGone(() => streams.delete(own));
    const cursor = cursorAt(begun.from);
    const { gap, resumed } = begun;
    if (gap) {
      own.write(connected(cursor, { resumed }).replace(/^id: .*\n/, ""));
      own.write(block("tidings.gap", gap, gap.cursor));
    } else own.write(connected(cursor, { resumed }));
    flush(own);
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  function page({ from, gap, resumed }: ReturnType<typeof begin>): Response {
    const left = log.filter((event) => event.position > from && event.data !== undefined);
    const events = left.slice(0, PAGE_EVENTS_MAX);
    const hasMore = events.length < left.length;
    return Response.json({
      events: events.map((event) => ({
        id: cursorAt(event.position),
        type: "message",
        topics: ["a"],
        data: event.data,
      })),
      cursor: cursorAt(hasMore ? (events.at(-1)?.position ?? from) : position),
      hasMore,
      resumed,
      gap: gap ?? null,
      user: "42",
      pollAfterMs: hasMore ? 0 : 10_000,
    });
  }

  return {
    asked,
    streams,
    fetch: (tab) => (input, init) => {
      const { pathname: path, searchParams } = new URL(input);
      const signal = init.signal as AbortSignal;
      asked.push({ path, tab, atMs: world.env.now() });
      const cursor = (init.headers as Record<string, string>)["Last-Event-ID"];
      return new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
        world.env.setTimeout(() => {
          tab.run(() => {
            if (signal.aborted) return;
            if (refusal) return resolve(Response.json({}, { status: refusal }));
            const begun = begin(cursor, searchParams.get("rewind"));
            resolve(path.endsWith("sse") ? stream(tab, signal, begun) : page(begun));
          });
        }, 3);
      });
    },
    publish: append,
    publishElsewhere: () => append(undefined),
    lastUpTo(cursor) {
      const [, of, text] = /^k7q2m9x(\d+)-(\d+)$/.exec(cursor) ?? [];
      const before = history.slice(0, Number(of)).flat();
      const known = (history[Number(of)] ?? []).filter(({ position }) => position <= Number(text));
      return [...before, ...known].findLast(({ data }) => data !== undefined)?.data;
    },
    cut() {
      for (const stream of streams) stream.cut();
    },
    restart() {
      epoch += 1;
      position = dropped = 0;
      log = [];
      for (const stream of streams) stream.cut();
    },
    keep(count) {
      eventsMax = count;
    },
    refuse(status) {
      refusal = status;
    },
  };
}
