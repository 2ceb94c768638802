// The parser against the shared table, every row cut in every way the table's description asks for.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BlockTooLargeError, createParser, type ParsedEvent } from "../src/parser.ts";

type Chunk = string | { hex: string } | { text: string; repeat: number };

interface Row {
  name: string;
  chunks: Chunk[];
  events: { data: string | { text: string; repeat: number; then?: string } }[];
  retry: number[];
  lastEventId: string;
}

/** Rows of more bytes than this are not cut in two at every place. */
const CUT_BYTES_MAX = 2_000;

const vectors = new URL("../../../spec/vectors/stream-parsing.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: Row[] };

function bytesOf(chunk: Chunk): Uint8Array {
  if (typeof chunk === "string") return Buffer.from(chunk);
  if ("hex" in chunk) return Buffer.from(chunk.hex, "hex");
  return Buffer.from(chunk.text.repeat(chunk.repeat));
}

function read(chunks: Uint8Array[]) {
  const events: ParsedEvent[] = [];
  const retry: number[] = [];
  let lastEventId = "";
  const parser = createParser({
    onEvent: (event) => {
      events.push(event);
      lastEventId = event.lastEventId;
    },
    onId: (id) => {
      lastEventId = id;
    },
    onRetry: (retryMs) => retry.push(retryMs),
  });
  for (const chunk of chunks) parser.push(chunk);
  return { events, retry, lastEventId };
}

function expected({ events, retry, lastEventId }: Row) {
  const whole = events.map((event) => {
    if (typeof event.data === "string") return event;
    const { text, repeat, then = "" } = event.data;
    return { ...event, data: text.repeat(repeat) + then };
  });
  return { events: whole, retry, lastEventId };
}

describe("the parser reads", () => {
  test.each(cases)("$name", (row) => {
    const chunks = row.chunks.map(bytesOf);
    const whole = Buffer.concat(chunks);
    const wanted = expected(row);
    expect(read(chunks)).toEqual(wanted);
    expect(read([whole])).toEqual(wanted);
    expect(read(Array.from(whole, (byte) => Uint8Array.of(byte)))).toEqual(wanted);
    if (whole.length > CUT_BYTES_MAX) return;
    for (let cut = 1; cut < whole.length; cut += 1) {
      expect(read([whole.subarray(0, cut), whole.subarray(cut)]), `cut at ${cut}`).toEqual(wanted);
    }
  });
});

describe("the parser", () => {
  test("ends a line at its CR, before any further byte is in", () => {
    const seen: string[] = [];
    const parser = createParser({ onEvent: ({ data }) => seen.push(data) });
    parser.push(Buffer.from("data: now\r"));
    expect(seen).toEqual([]);
    parser.push(Buffer.from("\r"));
    expect(seen).toEqual(["now"]);
  });

  test("takes no part of one stream for another's when a handler reads a second one", () => {
    const seen: string[] = [];
    const inner = createParser({ onEvent: ({ data }) => seen.push(`inner ${data}`) });
    const outer = createParser({
      onEvent: ({ data }) => {
        seen.push(data);
        inner.push(Buffer.from("data: a\n\ndata: b\n\n"));
      },
    });
    outer.push(Buffer.from("data: 1\n\ndata: 2\n\n"));
    expect(seen).toEqual(["1", "inner a", "inner b", "2", "inner a", "inner b"]);
  });

  const bounds: [name: string, chunk: string, times: number][] = [
    ["one endless line", "x", 101],
    ["endless data lines", "data: x\n", 51],
    ["endless empty data lines", "data\n", 101],
    ["an endless comment", ":comment ", 12],
  ];
  test.each(bounds)("refuses to hold %s", (_, chunk, times) => {
    const parser = createParser({ onEvent: () => undefined }, 100);
    const bytes = Buffer.from(chunk);
    for (let i = 1; i < times; i += 1) parser.push(bytes);
    expect(() => parser.push(bytes)).toThrow(BlockTooLargeError);
  });

  test("counts each block for itself", () => {
    const seen: string[] = [];
    const parser = createParser({ onEvent: ({ data }) => seen.push(data) }, 20);
    parser.push(Buffer.from("data: 123456789\n\n".repeat(1_000)));
    expect(seen.length).toBe(1_000);
  });
});
