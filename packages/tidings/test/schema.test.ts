// Events that pass schemas, with the libraries that people have: zod, valibot and ArkType. Their types are checked
// as this file is compiled.

import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test, vi } from "vitest";
import { z } from "zod";
import { createEventCache } from "../src/cache.ts";
import { createTidings } from "../src/client.ts";
import type { UseSSEOptions } from "../src/react/index.ts";
import { useSSE } from "../src/react/index.ts";
import { type EventsOf, InvalidEventError, withSchemas } from "../src/schema.ts";
import type { StandardSchemaV1 } from "../src/standard-schema.ts";
import type { TidingsEvent, TidingsOptions } from "../src/types.ts";
import { block, connected, createWorld, page } from "./world.ts";

const event = (position: number, type: string, data: unknown) =>
  block(type, data, `k7q2m9x1-${position}`);

function world(...events: string[]) {
  return createWorld({ sse: [{ body: [[0, connected() + events.join("")]] }] });
}

/** A library of our own, which takes its time: how long is in the data. */
function slow(env: { setTimeout(callback: () => void, ms: number): unknown }) {
  const schema: StandardSchemaV1<unknown, string> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (ms) =>
        new Promise((resolve) => {
          env.setTimeout(() => resolve({ value: `after ${ms}` }), Number(ms));
        }),
    },
  };
  return schema;
}

const libraries: [name: string, schema: StandardSchemaV1<unknown, { at: Date }>][] = [
  ["zod", z.object({ at: z.string().transform((at) => new Date(at)) })],
  ["valibot", v.object({ at: v.pipe(v.string(), v.isoTimestamp(), v.toDate()) })],
  ["ArkType", type({ at: "string.date.parse" })],
  [
    "zod, later",
    z.object({
      at: z
        .string()
        .refine(async () => true)
        .transform((at) => new Date(at)),
    }),
  ],
];

describe.each(libraries)("with a schema of %s", (_, schema) => {
  test("handlers get what the schema makes of the data, and only of what is valid", async () => {
    const { advance, client } = world(
      event(2, "due", { at: "2026-01-01T00:00:00.000Z" }),
      event(3, "due", { at: 17 }),
      event(4, "due", { at: "2026-01-02T00:00:00.000Z" }),
    );
    const seen: unknown[] = [];
    const refused: unknown[] = [];
    const validate = withSchemas(
      { due: schema },
      {
        onInvalid: ({ id, data }, issues) =>
          refused.push([id, data, ...issues.map(({ message }) => message)]),
      },
    );
    const listening = client({ validate });
    listening.on("due", ({ data }) => seen.push(data));
    await advance(100);
    expect(seen).toEqual([
      { at: new Date("2026-01-01T00:00:00.000Z") },
      { at: new Date("2026-01-02T00:00:00.000Z") },
    ]);
    expect(refused).toEqual([["k7q2m9x1-3", { at: 17 }, expect.stringContaining("string")]]);
    expect(listening.cursor).toBe("k7q2m9x1-4");
  });
});

describe("an event that is not valid", () => {
  test("is reported like what a handler throws, unless `onInvalid` is given", async () => {
    const { advance, client } = world(
      event(2, "note", { text: 1, by: { name: 2 } }),
      event(3, "note", { text: "two", by: { name: "ada" } }),
    );
    const errors: unknown[] = [];
    const seen: unknown[] = [];
    const note = z.object({ text: z.string(), by: z.object({ name: z.string() }) });
    const listening = client({
      validate: withSchemas({ note }),
      onHandlerError: (error) => errors.push(error),
    });
    listening.on("note", ({ data }) => seen.push(data));
    await advance(10);
    expect(seen).toEqual([{ text: "two", by: { name: "ada" } }]);
    expect(errors).toHaveLength(1);
    const [error] = errors as [InvalidEventError];
    expect(error).toBeInstanceOf(InvalidEventError);
    expect(error.event.id).toBe("k7q2m9x1-2");
    expect(error.issues.map(({ path }) => path)).toEqual([["text"], ["by", "name"]]);
    expect(error.message).toMatch(
      /^the data of event k7q2m9x1-2 \(note\) is not valid: text: .+; by\.name: .+$/,
    );
  });

  test("reaches no handler, no iteration and no cache", async () => {
    const cache = createEventCache();
    const { advance, client } = world(event(2, "n", "x"), event(3, "n", 3), event(4, "end", null));
    const listening = client({
      cache,
      validate: withSchemas({ n: v.number() }, { onInvalid: () => undefined }),
    });
    const seen: unknown[] = [];
    listening.onAny(({ data }) => seen.push(data));
    const iterated: unknown[] = [];
    const iterating = (async () => {
      for await (const { type, data } of listening) {
        if (type === "end") break;
        iterated.push(data);
      }
    })();
    await advance(10);
    await iterating;
    expect([seen, iterated, cache.get("n").map(({ data }) => data)]).toEqual([[3, null], [3], [3]]);
  });

  test("that makes the schema throw is reported too, and the next is handled", async () => {
    const { advance, client } = world(event(2, "n", 1), event(3, "n", 2));
    const thrown = new Error("the schema is broken");
    const broken = z.number().transform((n) => {
      if (n === 1) throw thrown;
      return n;
    });
    const errors: unknown[] = [];
    const seen: unknown[] = [];
    const listening = client({
      validate: withSchemas({ n: broken }),
      onHandlerError: (error) => errors.push(error),
    });
    listening.on("n", ({ data }) => seen.push(data));
    await advance(10);
    expect([errors, seen, listening.cursor]).toEqual([[thrown], [2], "k7q2m9x1-3"]);
  });
});

test("a type without a schema passes as it is, also one named like what every object has", async () => {
  const { advance, client } = world(event(2, "other", { a: 1 }), event(3, "toString", 2));
  const seen: unknown[] = [];
  client({ validate: withSchemas({ n: z.number() }) }).onAny(({ data }) => seen.push(data));
  await advance(10);
  expect(seen).toEqual([{ a: 1 }, 2]);
});

test("polls are validated as the stream is", async () => {
  const { advance, client } = createWorld({
    sse: [],
    polling: [
      page([
        ["k7q2m9x1-2", "two"],
        ["k7q2m9x1-3", 3],
      ]),
    ],
  });
  const seen: unknown[] = [];
  const onInvalid = vi.fn();
  client({
    transports: ["poll"],
    validate: withSchemas({ message: z.number() }, { onInvalid }),
  }).on("message", ({ data }) => seen.push(data));
  await advance(10);
  expect([seen, onInvalid.mock.calls.length]).toEqual([[3], 1]);
});

describe("a schema that takes its time", () => {
  test("keeps the order, and the cursor waits for it", async () => {
    const { advance, client, env } = world(
      event(2, "n", 300),
      event(3, "fast", 0),
      event(4, "n", 10),
    );
    const seen: unknown[] = [];
    const listening = client({ validate: withSchemas({ n: slow(env) }) });
    listening.onAny(({ data }) => seen.push(data));
    await advance(299);
    expect([seen, listening.cursor]).toEqual([[], "k7q2m9x1-1"]);
    await advance(1);
    expect([seen, listening.cursor]).toEqual([["after 300", 0], "k7q2m9x1-3"]);
    await advance(10);
    expect([seen, listening.cursor]).toEqual([["after 300", 0, "after 10"], "k7q2m9x1-4"]);
  });

  test("and a client that is closed meanwhile: the event is not handled, until it is reconnected", async () => {
    const { advance, client, env } = world(event(2, "n", 300));
    const seen: unknown[] = [];
    const listening = client({ validate: withSchemas({ n: slow(env) }) });
    listening.on("n", ({ data }) => seen.push(data));
    await advance(100);
    listening.close();
    await advance(1_000);
    expect([seen, listening.cursor]).toEqual([[], "k7q2m9x1-1"]);
    listening.reconnect();
    await advance(10);
    expect([seen, listening.cursor]).toEqual([["after 300"], "k7q2m9x1-2"]);
  });
});

test("`validate` may be any function: it replaces events, and keeps some back", async () => {
  const { advance, client } = world(event(2, "a", 1), event(3, "b", 2));
  const seen: unknown[] = [];
  const validate = (event: TidingsEvent) =>
    event.type === "a" ? { ...event, type: "c", data: [event.data] } : undefined;
  client({ validate }).onAny(({ type, data }) => seen.push([type, data]));
  await advance(10);
  expect(seen).toEqual([["c", [1]]]);
});

test("types are those of the schemas' output", () => {
  const schemas = {
    shipped: z.object({ carrier: z.string(), at: z.string().transform((at) => new Date(at)) }),
    note: v.pipe(v.string(), v.transform(Number)),
    tick: type({ n: "number" }),
  };
  type Events = {
    shipped: { carrier: string; at: Date };
    note: number;
    tick: { n: number };
  };
  expectTypeOf<EventsOf<typeof schemas>>().toEqualTypeOf<Events>();

  const validate = withSchemas(schemas, {
    onInvalid(event, issues) {
      expectTypeOf(event).toEqualTypeOf<TidingsEvent>();
      expectTypeOf(issues).toEqualTypeOf<readonly StandardSchemaV1.Issue[]>();
    },
  });
  const typed = () => {
    const client = createTidings({ url: "https://live.example.com", validate });
    client.on("shipped", ({ data }) => expectTypeOf(data).toEqualTypeOf<Events["shipped"]>());
    client.on("note", ({ data }) => expectTypeOf(data).toEqualTypeOf<number>());
    client.onAny(({ data }) => expectTypeOf(data).toEqualTypeOf<Events[keyof Events]>());
    // @ts-expect-error: there is no schema of this name
    client.on("shiped", () => undefined);

    // Written inline it is the same.
    createTidings({ url: "/", validate: withSchemas({ n: z.number() }) }).on("n", ({ data }) =>
      expectTypeOf(data).toEqualTypeOf<number>(),
    );
    // Without schemas nothing has changed.
    createTidings({ url: "/" }).on("any", ({ data }) => expectTypeOf(data).toBeUnknown());
    createTidings<{ a: 1 }>({ url: "/" }).on("a", ({ data }) =>
      expectTypeOf(data).toEqualTypeOf<1>(),
    );

    useSSE({
      url: "/",
      validate,
      eventHandlers: {
        shipped: ({ data }) => expectTypeOf(data).toEqualTypeOf<Events["shipped"]>(),
        tick: ({ data }) => expectTypeOf(data).toEqualTypeOf<{ n: number }>(),
      },
    });
    // @ts-expect-error: there is no schema of this name
    useSSE({ url: "/", validate, eventHandlers: { shiped: () => undefined } });
    useSSE({ url: "/", eventHandlers: { any: ({ data }) => expectTypeOf(data).toBeAny() } });
  };
  expect(typed).toBeTypeOf("function");
  expectTypeOf<TidingsOptions<Events>>().toExtend<TidingsOptions>();
  expectTypeOf<UseSSEOptions<Events>>().toExtend<UseSSEOptions>();
});
