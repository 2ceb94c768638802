// @vitest-environment happy-dom

// Polling alone, and the hook that goes between stream and polls. Runs with each React that is supported.

import { act, renderHook } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import {
  type UsePollingFallbackOptions,
  type UseRealTimeUpdatesOptions,
  usePollingFallback,
  useRealTimeUpdates,
} from "../../src/react/index.ts";
import { type Answer, type Answers, connected, page } from "../world.ts";
import { event, letGo, open, POLLING, SSE, world } from "./hooks.ts";

function poll(polling: Answers, options: UsePollingFallbackOptions = {}) {
  const { env, ...more } = world({ sse: [], polling });
  const hook = renderHook(
    (given: UsePollingFallbackOptions) =>
      usePollingFallback({ endpoint: POLLING, environment: env, ...given }),
    { initialProps: options },
  );
  return { ...hook, ...more };
}

function combine(sse: Answers, polling: Answers, options: UseRealTimeUpdatesOptions = {}) {
  const { env, ...more } = world({ sse, polling });
  const hook = renderHook(
    (given: UseRealTimeUpdatesOptions) =>
      useRealTimeUpdates({
        sseEndpoint: SSE,
        pollingEndpoint: POLLING,
        environment: env,
        ...given,
      }),
    { initialProps: options },
  );
  return { ...hook, ...more };
}

describe("polling fallback", () => {
  test("polls, tells each event once, and shows when", async () => {
    const seen: unknown[] = [];
    const answers = [
      page([["k7q2m9x1-2", "a"]]),
      page([
        ["k7q2m9x1-2", "a"],
        ["k7q2m9x1-3", "b"],
      ]),
      page([]),
    ];
    const { times, pass, result } = poll(answers, {
      interval: 20_000,
      onUpdate: ({ data }) => seen.push(data),
    });
    expect(result.current).toMatchObject({ isPolling: true, isConnected: false, lastUpdate: null });
    await pass(45_000);
    expect([times(), seen]).toEqual([
      ["0 polling", "20 polling", "40 polling"],
      ["a", "b"],
    ]);
    expect(result.current).toMatchObject({ isPolling: true, isConnected: true, error: null });
    expect(result.current.lastUpdate).toBeInstanceOf(Date);
  });

  test("asks for what comes after what it has", async () => {
    const { asked, pass } = poll([page([["k7q2m9x1-2", "a"]]), page([])]);
    await pass(25_000);
    expect(asked.map(({ headers }) => headers["Last-Event-ID"])).toEqual([
      undefined,
      "k7q2m9x1-2",
      expect.any(String),
    ]);
  });

  test("is not quicker than the server wants", async () => {
    const { times, pass } = poll([page([], { pollAfterMs: 30_000 })], { interval: 5_000 });
    await pass(65_000);
    expect(times()).toEqual(["0 polling", "30 polling", "60 polling"]);
  });

  test("fetches at once what an answer had no room for", async () => {
    const seen: unknown[] = [];
    const { times, pass } = poll(
      [page([["k7q2m9x1-2", "a"]], { hasMore: true }), page([["k7q2m9x1-3", "b"]]), page([])],
      { onUpdate: ({ data }) => seen.push(data) },
    );
    await pass(1_000);
    expect([times(), seen]).toEqual([
      ["0 polling", "0 polling"],
      ["a", "b"],
    ]);
  });

  test("shows the error while it fails, and that it polls on", async () => {
    const { result, pass } = poll([{ status: 500 }, page([])]);
    await pass(10);
    expect(result.current).toMatchObject({
      isPolling: true,
      isConnected: false,
      error: { status: 500 },
    });
    await pass(3_000);
    expect(result.current).toMatchObject({ isPolling: true, isConnected: true, error: null });
  });

  test("ends where asking again is pointless", async () => {
    const { result, times, pass } = poll([{ status: 403 }]);
    await pass(600_000);
    expect(times()).toEqual(["0 polling"]);
    expect(result.current).toMatchObject({
      status: "closed",
      isPolling: false,
      error: { status: 403 },
    });
  });

  test("does not poll while it is not enabled", async () => {
    const { result, rerender, times, pass } = poll([page([])], { enabled: false });
    await pass(60_000);
    expect([times(), result.current.isPolling]).toEqual([[], false]);
    rerender({ enabled: true });
    await pass(15_000);
    expect([times(), result.current.isPolling]).toEqual([["60 polling", "70 polling"], true]);
    rerender({ enabled: false });
    await letGo();
    await pass(60_000);
    expect([times().length, result.current.isPolling]).toEqual([2, false]);
  });

  test("calls the newest function, and is not begun anew for it", async () => {
    const seen: unknown[] = [];
    const { rerender, times, pass } = poll(
      [page([["k7q2m9x1-2", "a"]]), page([["k7q2m9x1-3", "b"]]), page([])],
      { onUpdate: ({ data }) => seen.push(`first ${data}`) },
    );
    await pass(10);
    rerender({ onUpdate: ({ data }) => seen.push(`second ${data}`) });
    await pass(10_000);
    expect([times(), seen]).toEqual([
      ["0 polling", "10 polling"],
      ["first a", "second b"],
    ]);
  });

  test("stops when it is closed or unmounted", async () => {
    const { result, unmount, times, pass, timers } = poll([page([])]);
    await pass(10);
    act(() => result.current.close());
    await pass(60_000);
    expect([times(), result.current.isPolling]).toEqual([["0 polling"], false]);
    act(() => result.current.reconnect());
    await pass(10);
    expect([times().length, result.current.isPolling]).toEqual([2, true]);
    unmount();
    await letGo();
    await pass(60_000);
    expect([times().length, timers()]).toEqual([2, 0]);
  });
});

describe("combined hook", () => {
  test("goes from stream to polls and back, each event once", async () => {
    const seen: unknown[] = [];
    const streams: Answer[] = [
      open([5, event(2)]),
      open([14_000, ":\n"], [14_000, event(3) + event(4)]),
    ];
    const polls = [
      page([
        ["k7q2m9x1-2", 2],
        ["k7q2m9x1-3", 3],
      ]),
      page([]),
    ];
    const { result, pass } = combine(streams, polls, {
      eventHandlers: { message: ({ data }) => seen.push(data) },
    });
    const current = () => result.current;
    expect(current()).toMatchObject({ isLoading: true, isConnected: false, updateMethod: null });
    await pass(10);
    expect(current()).toMatchObject({ isLoading: false, isConnected: true, updateMethod: "sse" });
    await pass(38_000);
    expect(current()).toMatchObject({
      isLoading: false,
      isConnected: true,
      updateMethod: "polling",
      error: { kind: "silent" },
    });
    await pass(20_000);
    expect(current()).toMatchObject({ updateMethod: "sse", error: null });
    expect(seen).toEqual([2, 3, 4]);
  });

  test("polls after three streams that failed, on the stream's cursor, and shows why", async () => {
    const streams: Answer[] = [
      { body: [[0, connected() + event(2)]], endsAtMs: 1_000 },
      { refused: true },
      { refused: true },
      { refused: true },
    ];
    const { result, asked, pass } = combine(streams, [page([])]);
    await pass(1_010);
    expect(result.current).toMatchObject({ status: "retrying", updateMethod: null });
    await pass(15_000);
    expect(result.current).toMatchObject({
      status: "polling",
      isConnected: true,
      updateMethod: "polling",
      error: { kind: "network" },
    });
    const polled = asked.filter(({ path }) => path.endsWith("polling"));
    expect(polled[0]?.headers["Last-Event-ID"]).toBe("k7q2m9x1-2");
    expect(asked.filter(({ path }) => path.endsWith("sse"))).toHaveLength(3);
  });

  test("lets the polls go once the stream works", async () => {
    const failed: Answer = { refused: true };
    const { result, times, pass } = combine(
      [failed, failed, failed, open([0, event(2)])],
      [page([])],
    );
    await pass(15_000);
    expect(result.current.updateMethod).toBe("polling");
    await pass(10_000);
    expect(result.current).toMatchObject({ updateMethod: "sse", error: null });
    const soFar = times().length;
    await pass(20_000);
    expect(times().slice(soFar)).toEqual([]);
  });

  test("is loading until the first answer, be it an error", async () => {
    const { result, pass } = combine([{ body: [[500, connected()]] }], [page([])]);
    await pass(400);
    expect(result.current).toMatchObject({ status: "connecting", isLoading: true });
    await pass(200);
    expect(result.current).toMatchObject({ status: "open", isLoading: false });

    const refused = combine([{ status: 503 }], [page([])]);
    await refused.pass(10);
    expect(refused.result.current).toMatchObject({ isLoading: false, error: { status: 503 } });
  });

  test("is not loading while it is not enabled", async () => {
    const { result, times, pass } = combine([open()], [page([])], { enabled: false });
    await pass(60_000);
    expect(times()).toEqual([]);
    expect(result.current).toMatchObject({ status: "idle", isLoading: false, updateMethod: null });
  });

  test("streams alone where there is nothing to poll", async () => {
    const { env, times, pass } = world({ sse: [{ refused: true }] });
    const { result } = renderHook(() => useRealTimeUpdates({ sseEndpoint: SSE, environment: env }));
    await pass(120_000);
    expect(times().filter((one) => one.endsWith("polling"))).toEqual([]);
    expect(result.current).toMatchObject({ status: "retrying", updateMethod: null });
  });

  test("polls alone where there is no stream to be had", async () => {
    const { env, times, pass } = world({
      sse: [],
      polling: [page([["k7q2m9x1-2", "a"]]), page([])],
    });
    const seen: unknown[] = [];
    const { result } = renderHook(() =>
      useRealTimeUpdates({
        pollingEndpoint: POLLING,
        environment: env,
        transports: ["poll"],
        eventHandlers: { message: ({ data }) => seen.push(data) },
      }),
    );
    await pass(10_010);
    expect([times(), seen]).toEqual([["0 polling", "10 polling"], ["a"]]);
    expect(result.current).toMatchObject({ updateMethod: "polling", error: null });
  });

  test("is closed and opened by hand, whatever it used", async () => {
    const failed: Answer = { refused: true };
    const { result, times, pass, timers } = combine([failed, failed, failed, open()], [page([])]);
    await pass(15_000);
    expect(result.current.updateMethod).toBe("polling");
    act(() => result.current.close());
    const soFar = times().length;
    await pass(600_000);
    expect([times().slice(soFar), timers()]).toEqual([[], 0]);
    expect(result.current).toMatchObject({ status: "closed", updateMethod: null, error: null });
    act(() => result.current.reconnect());
    await pass(10);
    expect(result.current).toMatchObject({ status: "open", updateMethod: "sse" });
  });
});
