// @vitest-environment happy-dom

// What a component sees of a connection that was lost: why, when it is tried again, and where it goes on.

import { act, renderHook } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import { useSSE } from "../../src/react/index.ts";
import { block, connected } from "../world.ts";
import { event, letGo, open, SSE, world } from "./hooks.ts";

describe("reconnection", () => {
  test("shows the error and when it comes back, then that it is back", async () => {
    const { env, pass, times } = world({ sse: [{ status: 503 }, open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    expect(result.current).toMatchObject({
      status: "retrying",
      isConnected: false,
      error: { kind: "status", status: 503 },
      state: { attempt: 1, retryAt: env.now() - 10 + 3_000 },
    });
    await pass(3_000);
    expect(result.current).toMatchObject({ status: "open", isConnected: true, error: null });
    expect(times()).toEqual(["0 sse", "3 sse"]);
  });

  test("waits longer after each failure", async () => {
    const { env, pass, times } = world({ sse: [{ refused: true }] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(60_000);
    expect(times()).toEqual(["0 sse", "3 sse", "9 sse", "21 sse", "45 sse"]);
    expect(result.current).toMatchObject({ status: "retrying", error: { kind: "network" } });
  });

  test("goes on where it was, and each event comes once", async () => {
    const { env, pass, asked } = world({
      sse: [
        {
          body: [
            [0, connected()],
            [0, event(2) + event(3)],
          ],
          endsAtMs: 1_000,
        },
        open([0, event(3) + event(4)]),
      ],
    });
    const seen: unknown[] = [];
    renderHook(() =>
      useSSE({
        endpoint: SSE,
        environment: env,
        eventHandlers: { message: ({ data }) => seen.push(data) },
      }),
    );
    await pass(10_000);
    expect(seen).toEqual([2, 3, 4]);
    expect(asked[1]?.headers["Last-Event-ID"]).toBe("k7q2m9x1-3");
  });

  test("tells of a gap before what follows it, and waits for what the application does about it", async () => {
    const gap = block(
      "tidings.gap",
      { reason: "expired", topics: ["orders/*"], cursor: "k7q2m9x1-7" },
      "k7q2m9x1-7",
    );
    const { env, pass } = world({
      sse: [{ body: [[0, connected()]], endsAtMs: 100 }, open([0, gap + event(8)])],
    });
    const seen: unknown[] = [];
    renderHook(() =>
      useSSE({
        endpoint: SSE,
        environment: env,
        async onGap({ reason, topics }) {
          await new Promise<void>((resolve) => env.setTimeout(resolve, 500));
          seen.push(`refetched ${topics}: ${reason}`);
        },
        eventHandlers: { message: ({ data }) => seen.push(data) },
      }),
    );
    await pass(10_000);
    expect(seen).toEqual(["refetched orders/*: expired", 8]);
  });

  test("comes back exactly when a draining server asks", async () => {
    const closing = block("tidings.closing", { reason: "drain", retryMs: 7_654 }, "k7q2m9x1-2");
    const { env, pass, times } = world({ sse: [open([346, closing]), open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(1_000);
    expect(result.current.error).toMatchObject({ kind: "closing", code: "drain", retryMs: 7_654 });
    await pass(10_000);
    expect([times(), result.current.status]).toEqual([["0 sse", "8 sse"], "open"]);
  });

  test("gets a fresh token of the newest function after a 401", async () => {
    const { env, pass, asked } = world({
      sse: [open(), { status: 401 }, open()],
    });
    let tokens = 0;
    const { result, rerender } = renderHook(
      ({ user }) =>
        useSSE({
          endpoint: SSE,
          environment: env,
          token: () => {
            tokens += 1;
            return `${user} ${tokens}`;
          },
        }),
      { initialProps: { user: "ada" } },
    );
    await pass(10);
    rerender({ user: "ada renamed" });
    act(() => result.current.reconnect());
    await pass(10);
    expect(asked.map(({ headers }) => headers.Authorization)).toEqual([
      "Bearer ada 1",
      "Bearer ada 1",
      "Bearer ada renamed 2",
    ]);
    expect(result.current.status).toBe("open");
  });

  test("ends where trying again is pointless, and may be asked to once that has changed", async () => {
    const { env, times, pass } = world({ sse: [{ status: 403 }, open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(600_000);
    expect(times()).toEqual(["0 sse"]);
    expect(result.current).toMatchObject({
      status: "closed",
      isConnected: false,
      error: { status: 403 },
    });
    act(() => result.current.reconnect());
    await pass(10);
    expect(result.current).toMatchObject({ status: "open", error: null });
  });

  test("by hand does not wait for the next attempt", async () => {
    const { env, times, pass } = world({ sse: [{ status: 503 }, open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(1_000);
    act(() => result.current.reconnect());
    await pass(10_000);
    expect([times(), result.current.status]).toEqual([["0 sse", "1 sse"], "open"]);
  });

  test("is not tried any more once the component is gone", async () => {
    const { env, times, pass, timers } = world({ sse: [{ status: 503 }] });
    const { unmount } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(1_000);
    unmount();
    await letGo();
    await pass(600_000);
    expect([times(), timers()]).toEqual([["0 sse"], 0]);
  });
});
