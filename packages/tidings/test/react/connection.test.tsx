// @vitest-environment happy-dom

// The hooks as a component uses them. Runs with each React that they support; see `vitest.config.ts`.

import { act, cleanup, render, renderHook } from "@testing-library/react";
import { StrictMode, version } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, describe, expect, test } from "vitest";
import { createEventCache } from "../../src/cache.ts";
import {
  TidingsProvider,
  useEvent,
  useLastEvent,
  usePollingFallback,
  useRealTimeUpdates,
  useSSE,
  useTidings,
  useTidingsState,
} from "../../src/react/index.ts";
import type { Environment } from "../../src/types.ts";
import { type Answer, block, connected, createWorld, page, type Script } from "../world.ts";

afterEach(cleanup);

const open = (...more: [number, string][]): Answer => ({ body: [[0, connected()], ...more] });
const event = (position: number, type = "message") =>
  `id: k7q2m9x1-${position}\nevent: ${type}\ndata: ${position}\n\n`;
const SSE = "http://hub.test/api/sse";
const POLLING = "http://hub.test/api/polling";

function Combined({ env }: { env: Environment }) {
  const { status, isLoading } = useRealTimeUpdates({ sseEndpoint: SSE, environment: env });
  return `${status} ${isLoading}`;
}

function Listener({ type, tell }: { type: string; tell: (data: unknown) => void }) {
  useEvent(type, ({ data }) => tell(data));
  return null;
}

function Shown({ type }: { type: string }) {
  return `${useTidingsState().status} ${useLastEvent(type)?.data ?? "none"}`;
}

function Orphan() {
  useTidings();
  return null;
}

function world(script: Script) {
  const made = createWorld(script);
  return { ...made, pass: (ms: number) => act(() => made.advance(ms)) };
}

test(`the React under test is the one that was asked for (${version})`, () => {
  expect(version.split(".")[0]).toBe(process.env.TIDINGS_TEST_REACT ?? "19");
});

describe("connection management", () => {
  test("connects when mounted, says so, and lets go when unmounted", async () => {
    const { env, asked, times, pass, timers } = world({ sse: [open()] });
    const { result, unmount } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    expect(result.current).toMatchObject({
      status: "open",
      isConnected: true,
      error: null,
      lastUpdate: null,
    });
    unmount();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await pass(10);
    expect([times(), asked[0]?.abandonedAtMs !== undefined, timers()]).toEqual([
      ["0 sse"],
      true,
      0,
    ]);
  });

  test("makes one connection in StrictMode", async () => {
    const { env, asked, times, pass } = world({ sse: [open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }), {
      wrapper: StrictMode,
    });
    await pass(10);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await pass(10);
    expect([times(), asked[0]?.abandonedAtMs]).toEqual([["0 sse"], undefined]);
    expect(result.current.status).toBe("open");
  });

  test("does not connect anew for what is written inline", async () => {
    const { env, times, pass } = world({ sse: [open([100, event(2)])] });
    const seen: string[] = [];
    const { rerender } = renderHook(
      ({ name }) =>
        useSSE({
          url: "http://hub.test",
          topics: ["orders/*"],
          environment: env,
          token: () => `t ${name}`,
          onGap: () => undefined,
          eventHandlers: { message: ({ data }) => seen.push(`${name} ${data}`) },
        }),
      { initialProps: { name: "first" } },
    );
    await pass(10);
    rerender({ name: "second" });
    await pass(200);
    expect([times(), seen]).toEqual([["0 sse"], ["second 2"]]);
  });

  test("connects anew when the topics change, and leaves the old connection", async () => {
    const { env, asked, pass } = world({ sse: [open()] });
    const { rerender } = renderHook(
      ({ topic }) => useSSE({ url: "http://hub.test", topics: [topic], environment: env }),
      { initialProps: { topic: "a" } },
    );
    await pass(10);
    rerender({ topic: "b" });
    await pass(10);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await pass(10);
    expect(asked.map(({ query }) => query.get("topic"))).toEqual(["a", "b"]);
    expect(asked.map(({ abandonedAtMs }) => abandonedAtMs !== undefined)).toEqual([true, false]);
  });

  test("is connected only while it is enabled", async () => {
    const { env, times, pass } = world({ sse: [open()] });
    const { result, rerender } = renderHook(
      ({ enabled }) => useSSE({ endpoint: SSE, environment: env, enabled }),
      { initialProps: { enabled: false } },
    );
    await pass(1_000);
    expect([times(), result.current.status]).toEqual([[], "idle"]);
    rerender({ enabled: true });
    await pass(1_000);
    expect([times(), result.current.status]).toEqual([["1 sse"], "open"]);
    rerender({ enabled: false });
    await act(() => new Promise((resolve) => setTimeout(resolve, 5)));
    expect(result.current.status).toBe("closed");
    rerender({ enabled: true });
    await pass(1_000);
    expect(result.current.status).toBe("open");
  });

  test("is closed and opened by hand", async () => {
    const { env, times, pass } = world({ sse: [open()] });
    const { result, rerender } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    act(() => result.current.close());
    rerender();
    await pass(1_000);
    expect([times(), result.current.status]).toEqual([["0 sse"], "closed"]);
    act(() => result.current.reconnect());
    await pass(10);
    expect(result.current.status).toBe("open");
  });

  test("renders on a server without connecting", async () => {
    const { env, asked } = world({ sse: [open()] });
    expect(renderToString(<Combined env={env} />)).toBe("idle true");
    expect(renderToString(<TidingsProvider url="http://hub.test">below</TidingsProvider>)).toBe(
      "below",
    );
    expect(asked).toEqual([]);
  });
});

describe("event handling", () => {
  test("a burst reaches the handler event by event, and renders are few", async () => {
    const burst = Array.from({ length: 500 }, (_, i) => event(i + 2)).join("");
    const { env, pass } = world({ sse: [open([10, burst])] });
    const seen: unknown[] = [];
    let renders = 0;
    const { result } = renderHook(() => {
      renders += 1;
      return useSSE({
        endpoint: SSE,
        environment: env,
        eventHandlers: { message: ({ data }) => seen.push(data) },
      });
    });
    await pass(5);
    const before = renders;
    await pass(100);
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i + 2));
    expect(renders - before).toBeLessThan(5);
    expect(result.current.lastUpdate).toBeInstanceOf(Date);
  });

  test("events go to the handler of their type, and to no property of objects", async () => {
    const { env, pass } = world({
      sse: [open([0, event(2, "a") + event(3, "b") + event(4, "toString")])],
    });
    const seen: string[] = [];
    renderHook(() =>
      useSSE({
        endpoint: SSE,
        environment: env,
        eventHandlers: {
          a: ({ data }) => seen.push(`a ${data}`),
          b: ({ data }) => seen.push(`b ${data}`),
        },
      }),
    );
    await pass(10);
    expect(seen).toEqual(["a 2", "b 3"]);
  });
});

describe("reconnection", () => {
  test("shows the error and comes back", async () => {
    const { env, pass } = world({ sse: [{ status: 503 }, open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    expect(result.current).toMatchObject({
      status: "retrying",
      isConnected: false,
      error: { status: 503 },
      state: { attempt: 1 },
    });
    await pass(3_000);
    expect(result.current).toMatchObject({ status: "open", error: null });
  });

  test("ends where trying again is pointless", async () => {
    const { env, times, pass } = world({ sse: [{ status: 403 }] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(600_000);
    expect([times(), result.current.status, result.current.error?.status]).toEqual([
      ["0 sse"],
      "closed",
      403,
    ]);
  });
});

describe("the polling fallback", () => {
  test("polls, tells each event once, and shows when", async () => {
    const { env, times, pass } = world({
      sse: [],
      polling: [
        page([["k7q2m9x1-2", "a"]]),
        page([
          ["k7q2m9x1-2", "a"],
          ["k7q2m9x1-3", "b"],
        ]),
        page([]),
      ],
    });
    const seen: unknown[] = [];
    const { result } = renderHook(() =>
      usePollingFallback({
        endpoint: POLLING,
        interval: 20_000,
        environment: env,
        onUpdate: ({ data }) => seen.push(data),
      }),
    );
    await pass(45_000);
    expect([times(), seen]).toEqual([
      ["0 polling", "20 polling", "40 polling"],
      ["a", "b"],
    ]);
    expect(result.current).toMatchObject({ isPolling: true, isConnected: true, error: null });
    expect(result.current.lastUpdate).toBeInstanceOf(Date);
  });

  test("shows the error while it fails, and that it polls on", async () => {
    const { env, pass } = world({ sse: [], polling: [{ status: 500 }, page([])] });
    const { result } = renderHook(() =>
      usePollingFallback({ endpoint: POLLING, environment: env }),
    );
    await pass(10);
    expect(result.current).toMatchObject({
      isPolling: true,
      isConnected: false,
      error: { status: 500 },
    });
    await pass(3_000);
    expect(result.current).toMatchObject({ isPolling: true, isConnected: true, error: null });
  });

  test("does not poll when it is not enabled", async () => {
    const { env, times, pass } = world({ sse: [], polling: [page([])] });
    const { result } = renderHook(() =>
      usePollingFallback({ endpoint: POLLING, environment: env, enabled: false }),
    );
    await pass(60_000);
    expect([times(), result.current.isPolling]).toEqual([[], false]);
  });
});

describe("the combined hook", () => {
  test("goes from stream to polls and back, each event once", async () => {
    const { env, pass } = world({
      sse: [
        {
          body: [
            [0, connected()],
            [5, event(2)],
          ],
        },
        open([14_000, ":\n"], [14_000, event(3) + event(4)]),
      ],
      polling: [
        page([
          ["k7q2m9x1-2", 2],
          ["k7q2m9x1-3", 3],
        ]),
        page([]),
      ],
    });
    const seen: unknown[] = [];
    const { result } = renderHook(() =>
      useRealTimeUpdates({
        sseEndpoint: SSE,
        pollingEndpoint: POLLING,
        environment: env,
        eventHandlers: { message: ({ data }) => seen.push(data) },
      }),
    );
    expect(result.current).toMatchObject({
      isLoading: true,
      isConnected: false,
      updateMethod: null,
    });
    await pass(10);
    expect(result.current).toMatchObject({
      isLoading: false,
      isConnected: true,
      updateMethod: "sse",
    });
    await pass(38_000);
    expect(result.current).toMatchObject({
      isLoading: false,
      isConnected: true,
      updateMethod: "polling",
      error: { kind: "silent" },
    });
    await pass(20_000);
    expect(result.current).toMatchObject({ updateMethod: "sse", error: null });
    expect(seen).toEqual([2, 3, 4]);
  });
});

describe("the provider", () => {
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

  test("shows at once what its cache remembers", async () => {
    const { env, pass } = world({ sse: [{ hangs: true }] });
    const cache = createEventCache();
    cache.add({ id: "k7q2m9x1-1", type: "a", data: "cached", topics: [] });
    const { container } = render(
      <TidingsProvider url="http://hub.test" environment={env} cache={cache}>
        <Shown type="a" />
      </TidingsProvider>,
    );
    await pass(10);
    expect(container.textContent).toBe("connecting cached");
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

  test("is missed with words", () => {
    expect(() => renderToString(<Orphan />)).toThrow("there is no <TidingsProvider> above");
  });
});

test("what the server says of its own never reaches a handler", async () => {
  const { env, pass } = world({ sse: [open([0, block("tidings.news", {}, "k7q2m9x1-9")])] });
  const seen: unknown[] = [];
  renderHook(() =>
    useSSE({
      endpoint: SSE,
      environment: env,
      eventHandlers: {
        "tidings.connected": (one) => seen.push(one),
        "tidings.news": (one) => seen.push(one),
      },
    }),
  );
  await pass(10);
  expect(seen).toEqual([]);
});
