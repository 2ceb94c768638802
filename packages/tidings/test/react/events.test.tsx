// @vitest-environment happy-dom

// How events reach the handlers of components, and what of them is rendered. Runs with each React that is supported.

import { render, renderHook } from "@testing-library/react";
import { StrictMode, useEffect } from "react";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import {
  TidingsProvider,
  type UseSSEOptions,
  useEvent,
  useLastEvent,
  useSSE,
  useTidings,
  useTidingsState,
} from "../../src/react/index.ts";
import { withSchemas } from "../../src/schema.ts";
import { block, connected } from "../world.ts";
import { event, open, SSE, world } from "./hooks.ts";

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Renders a hook that listens, in a world that says this. */
function listen(said: readonly [atMs: number, text: string][], options: UseSSEOptions) {
  const { env, ...more } = world({ sse: [open(...said)] });
  let renders = 0;
  const hook = renderHook(
    (given: UseSSEOptions) => {
      renders += 1;
      return useSSE({ endpoint: SSE, environment: env, ...given });
    },
    { initialProps: options },
  );
  return { ...hook, ...more, env, renders: () => renders };
}

function Listener({ type, tell }: { type: string; tell: (data: unknown) => void }) {
  useEvent(type, ({ data }) => tell(data));
  return null;
}

function Shown({ type }: { type: string }) {
  return `${useTidingsState().status} ${useLastEvent(type)?.data ?? "none"}`;
}

function Switch() {
  const client = useTidings();
  useEffect(() => client.close(), [client]);
  return null;
}

describe("event handling", () => {
  test("a burst reaches the handler event by event, and renders are few", async () => {
    const seen: unknown[] = [];
    const burst = numbers(2, 501).map((position) => event(position));
    const { result, pass, renders } = listen([[10, burst.join("")]], {
      eventHandlers: { message: ({ data }) => seen.push(data) },
    });
    await pass(5);
    const before = renders();
    await pass(100);
    expect(seen).toEqual(numbers(2, 501));
    expect(renders() - before).toBeLessThan(5);
    expect(result.current.lastUpdate).toBeInstanceOf(Date);
  });

  test("events go to the handler of their type, and to no property of objects", async () => {
    const seen: string[] = [];
    const said = event(2, "a") + event(3, "b") + event(4, "toString") + event(5, "c");
    const { pass } = listen([[0, said]], {
      eventHandlers: {
        a: ({ data }) => seen.push(`a ${data}`),
        b: ({ data }) => seen.push(`b ${data}`),
      },
    });
    await pass(10);
    expect(seen).toEqual(["a 2", "b 3"]);
  });

  test("a handler gets all that is known of an event", async () => {
    const seen: unknown[] = [];
    const said =
      'id: k7q2m9x1-2\nevent: shipped\ntopic: orders/1,mail\ntime: 17\ndata: {"by":"post"}\n\n';
    const { pass } = listen([[0, said]], { eventHandlers: { shipped: (one) => seen.push(one) } });
    await pass(10);
    const data = { by: "post" };
    const topics = ["orders/1", "mail"];
    expect(seen).toEqual([{ id: "k7q2m9x1-2", type: "shipped", topics, time: 17, data }]);
  });

  test("the newest handlers are called, for what comes after they were rendered", async () => {
    const seen: string[] = [];
    const named = (name: string) => ({
      eventHandlers: { message: ({ data }: { data: unknown }) => seen.push(`${name} ${data}`) },
    });
    const { rerender, pass, times } = listen(
      [
        [10, event(2)],
        [1_000, event(3)],
        [2_000, event(4)],
      ],
      named("first"),
    );
    await pass(100);
    rerender(named("second"));
    await pass(1_000);
    rerender({});
    await pass(1_000);
    expect([seen, times()]).toEqual([["first 2", "second 3"], ["0 sse"]]);
  });

  test("a handler's promise is waited for, before the next event and before the cursor moves", async () => {
    const seen: string[] = [];
    const { env, pass, result } = listen([[0, event(2) + event(3)]], {
      eventHandlers: {
        async message({ data }) {
          seen.push(`begins ${data}`);
          await new Promise<void>((resolve) => env.setTimeout(resolve, 500));
          seen.push(`ends ${data}`);
        },
      },
    });
    await pass(10);
    expect([seen, result.current.state.cursor]).toEqual([["begins 2"], "k7q2m9x1-1"]);
    await pass(2_000);
    expect(seen).toEqual(["begins 2", "ends 2", "begins 3", "ends 3"]);
  });

  test("what a handler throws is told, and keeps no later event from it", async () => {
    const seen: unknown[] = [];
    const errors: unknown[] = [];
    const { pass, result } = listen([[0, event(2) + event(3) + event(4)]], {
      onHandlerError: (error) => errors.push((error as Error).message),
      eventHandlers: {
        message({ data }) {
          seen.push(data);
          if (data === 2) throw new Error("thrown");
          if (data === 3) return Promise.reject(new Error("rejected"));
        },
      },
    });
    await pass(10);
    expect([seen, errors, result.current.status]).toEqual([
      [2, 3, 4],
      ["thrown", "rejected"],
      "open",
    ]);
  });

  test("repeats reach no handler", async () => {
    const seen: unknown[] = [];
    const { pass } = listen([[0, event(2) + event(3) + event(2) + event(3) + event(4)]], {
      eventHandlers: { message: ({ data }) => seen.push(data) },
    });
    await pass(10);
    expect(seen).toEqual([2, 3, 4]);
  });

  test("what the server says of its own reaches no handler", async () => {
    const handler = vi.fn();
    const { pass, result } = listen([[0, block("tidings.news", {}, "k7q2m9x1-9")]], {
      eventHandlers: { "tidings.connected": handler, "tidings.news": handler },
    });
    await pass(10);
    expect([handler.mock.calls, result.current.lastUpdate]).toEqual([[], null]);
  });

  test("events are validated by the newest schemas, and handlers get what these make of them", async () => {
    const seen: unknown[] = [];
    const refused: unknown[] = [];
    const options = (factor: number): UseSSEOptions => ({
      validate: withSchemas(
        { n: z.number().transform((n) => n * factor) },
        { onInvalid: ({ data }) => refused.push(data) },
      ),
      eventHandlers: { n: ({ data }) => seen.push(data) },
    });
    const { pass, rerender, times } = listen(
      [
        [0, event(2, "n") + event(3, "n", "three")],
        [1_000, event(4, "n")],
      ],
      options(10),
    );
    await pass(10);
    rerender(options(100));
    await pass(1_000);
    expect([seen, refused, times()]).toEqual([[20, 400], ["three"], ["0 sse"]]);
  });

  test("no handler is called after the unmounting", async () => {
    const seen: unknown[] = [];
    const { pass, unmount } = listen(
      [
        [0, event(2)],
        [1_000, event(3)],
      ],
      { eventHandlers: { message: ({ data }) => seen.push(data) } },
    );
    await pass(10);
    unmount();
    await pass(5_000);
    expect(seen).toEqual([2]);
  });
});

describe("provider", () => {
  test("shares one connection, and each handler gets its own type", async () => {
    const { env, times, pass } = world({ sse: [open([10, event(2, "a") + event(3, "b")])] });
    const seen: string[] = [];
    const { container } = render(
      <TidingsProvider url="http://hub.test" environment={env}>
        <Listener type="a" tell={(data) => seen.push(`a ${data}`)} />
        <Listener type="b" tell={(data) => seen.push(`b ${data}`)} />
        <Shown type="b" />
      </TidingsProvider>,
      { wrapper: StrictMode },
    );
    await pass(5);
    expect(container.textContent).toBe("open none");
    await pass(100);
    expect([times(), seen]).toEqual([["0 sse"], ["a 2", "b 3"]]);
    expect(container.textContent).toBe("open 3");
  });

  test("a burst reaches `useEvent` event by event, and `useLastEvent` shows the last", async () => {
    const burst = numbers(2, 301).map((position) => event(position));
    const { env, pass } = world({ sse: [open([10, burst.join("")])] });
    const seen: unknown[] = [];
    const { container } = render(
      <TidingsProvider url="http://hub.test" environment={env}>
        <Listener type="message" tell={(data) => seen.push(data)} />
        <Shown type="message" />
      </TidingsProvider>,
    );
    await pass(100);
    expect([seen, container.textContent]).toEqual([numbers(2, 301), "open 301"]);
  });

  test("handles with the newest handler, and not after it is unmounted", async () => {
    const { env, pass } = world({
      sse: [open([10, event(2)], [1_000, event(3)], [2_000, event(4)])],
    });
    const seen: string[] = [];
    const shown = (name: string) => (
      <TidingsProvider url="http://hub.test" environment={env}>
        {name && <Listener type="message" tell={(data) => seen.push(`${name} ${data}`)} />}
      </TidingsProvider>
    );
    const { rerender } = render(shown("first"));
    await pass(100);
    rerender(shown("second"));
    await pass(1_000);
    rerender(shown(""));
    await pass(1_000);
    expect(seen).toEqual(["first 2", "second 3"]);
  });

  test("another type is listened to when it is given one, and the last of the old is not shown", async () => {
    const { env, times, pass } = world({
      sse: [open([10, event(2, "a")], [1_000, event(3, "b")])],
    });
    const shown = (type: string) => (
      <TidingsProvider url="http://hub.test" environment={env}>
        <Shown type={type} />
      </TidingsProvider>
    );
    const { container, rerender } = render(shown("a"));
    await pass(100);
    expect(container.textContent).toBe("open 2");
    rerender(shown("b"));
    expect(container.textContent).toBe("open none");
    await pass(1_000);
    expect([container.textContent, times()]).toEqual(["open 3", ["0 sse"]]);
  });

  test("hands on its client, for what no hook does", async () => {
    const { env, asked, pass } = world({ sse: [{ body: [[0, connected()]] }] });
    const shown = (off: boolean) => (
      <TidingsProvider url="http://hub.test" environment={env}>
        <Shown type="a" />
        {off && <Switch />}
      </TidingsProvider>
    );
    const { container, rerender } = render(shown(false));
    await pass(10);
    rerender(shown(true));
    await pass(10);
    expect([container.textContent, asked[0]?.abandonedAtMs]).toEqual(["closed none", 10]);
  });
});
