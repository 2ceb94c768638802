// @vitest-environment happy-dom

// When a hook connects and lets go, and what makes it connect anew. Runs with each React that is supported.

import { act, render, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { describe, expect, test } from "vitest";
import {
  type ClientOptions,
  type ConnectionResult,
  TidingsProvider,
  usePollingFallback,
  useRealTimeUpdates,
  useSSE,
  useTidings,
  useTidingsState,
} from "../../src/react/index.ts";
import type { Environment } from "../../src/types.ts";
import { page } from "../world.ts";
import { event, letGo, open, SSE, world } from "./hooks.ts";

type Hook = (options: ClientOptions) => ConnectionResult;
const hooks: [name: string, hook: Hook, kind: "sse" | "polling"][] = [
  ["useSSE", useSSE, "sse"],
  ["usePollingFallback", usePollingFallback, "polling"],
  ["useRealTimeUpdates", useRealTimeUpdates, "sse"],
];
/** Both endpoints work. */
const hub = () => world({ sse: [open()], polling: [page([])] });
const url = "http://hub.test";

function Own({ useHook, env }: { useHook: Hook; env: Environment }) {
  const { status, isConnected } = useHook({ url, environment: env });
  return `${status} ${isConnected}`;
}

function Below() {
  return useTidingsState().status;
}

function Orphan() {
  return String(useTidings());
}

describe("connection management", () => {
  describe.each(hooks)("of %s", (_, useHook, kind) => {
    test("connects when mounted, says so, and lets go when unmounted", async () => {
      const { env, asked, times, pass, timers } = hub();
      const { result, unmount } = renderHook(() => useHook({ url, environment: env }));
      expect(result.current).toMatchObject({ isConnected: false, error: null, lastUpdate: null });
      await pass(10);
      expect(result.current).toMatchObject({
        status: kind === "sse" ? "open" : "polling",
        isConnected: true,
        error: null,
        lastUpdate: null,
      });
      unmount();
      await letGo();
      await pass(600_000);
      expect([times(), timers()]).toEqual([[`0 ${kind}`], 0]);
      if (kind === "sse") expect(asked[0]?.abandonedAtMs).toBe(10);
    });

    test("makes one connection in StrictMode", async () => {
      const { env, asked, times, pass } = hub();
      const { result } = renderHook(() => useHook({ url, environment: env }), {
        wrapper: StrictMode,
      });
      await pass(10);
      await letGo();
      await pass(10);
      expect([times(), result.current.isConnected]).toEqual([[`0 ${kind}`], true]);
      if (kind === "sse") expect(asked[0]?.abandonedAtMs).toBeUndefined();
    });

    test("never connects anew for what is written inline", async () => {
      const { env, times, pass } = hub();
      const { rerender } = renderHook(
        ({ render }) =>
          useHook({
            url: new URL(url),
            topics: ["orders/*"],
            types: ["shipped"],
            headers: { "X-App": "shop" },
            timing: { heartbeatSecs: 30 },
            environment: { ...env },
            token: () => `token ${render}`,
            fetch: (...asked) => fetch(...asked),
            validate: (event) => event,
            onGap: () => undefined,
            onHandlerError: () => undefined,
          }),
        { initialProps: { render: 0 } },
      );
      await pass(10);
      for (let render = 1; render <= 20; render += 1) rerender({ render });
      await letGo();
      await pass(100);
      expect(times()).toEqual([`0 ${kind}`]);
    });

    test("is connected only while it is enabled", async () => {
      const { env, times, pass } = hub();
      const { result, rerender } = renderHook(
        ({ enabled }) => useHook({ url, environment: env, enabled }),
        { initialProps: { enabled: false } },
      );
      await pass(1_000);
      expect([times(), result.current.status]).toEqual([[], "idle"]);
      rerender({ enabled: true });
      await pass(1_000);
      expect([times(), result.current.isConnected]).toEqual([[`1 ${kind}`], true]);
      rerender({ enabled: false });
      await letGo();
      expect(result.current.status).toBe("closed");
      await pass(60_000);
      expect(times()).toHaveLength(1);
      rerender({ enabled: true });
      await pass(1_000);
      expect([times().slice(1), result.current.isConnected]).toEqual([[`62 ${kind}`], true]);
    });

    test("is closed and opened by hand, and stays closed over renders", async () => {
      const { env, times, pass } = hub();
      const { result, rerender } = renderHook(() => useHook({ url, environment: env }), {
        wrapper: StrictMode,
      });
      await pass(10);
      act(() => result.current.close());
      expect(result.current).toMatchObject({ status: "closed", isConnected: false, error: null });
      rerender();
      await pass(60_000);
      expect([times(), result.current.status]).toEqual([[`0 ${kind}`], "closed"]);
      act(() => result.current.reconnect());
      await pass(10);
      expect(result.current.isConnected).toBe(true);
    });

    test("does not connect on a server", () => {
      const { env, asked } = hub();
      expect(renderToString(<Own useHook={useHook} env={env} />)).toBe("idle false");
      expect(asked).toEqual([]);
    });
  });

  const others: [name: string, options: Partial<ClientOptions>][] = [
    ["address", { url: "http://other.test" }],
    ["topics", { topics: ["b"] }],
    ["types", { types: ["shipped"] }],
    ["user", { user: "bob" }],
    ["headers", { headers: { "X-App": "other" } }],
    ["credentials", { credentials: "include" }],
  ];
  test.each(others)(
    "connects anew when it is given other %s, and leaves the old",
    async (_, other) => {
      const { env, asked, pass } = world({ sse: [open()] });
      const first: Partial<ClientOptions> = { topics: ["a"] };
      const { result, rerender } = renderHook(
        (options: Partial<ClientOptions>) => useSSE({ url, environment: env, ...options }),
        { initialProps: first },
      );
      await pass(10);
      rerender({ ...first, ...other });
      await pass(10);
      await letGo();
      await pass(10);
      expect(asked.map(({ abandonedAtMs }) => abandonedAtMs !== undefined)).toEqual([true, false]);
      expect(result.current.status).toBe("open");
    },
  );

  test("lets go of a connection that is still being made", async () => {
    const { env, asked, pass, timers } = world({ sse: [{ hangs: true }] });
    const { unmount } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    unmount();
    await letGo();
    expect([asked[0]?.abandonedAtMs, timers()]).toEqual([10, 0]);
  });

  test("lets go quickly and comes back quickly without a second connection", async () => {
    const { env, times, pass } = world({ sse: [open()] });
    const { result, rerender } = renderHook(
      ({ enabled }) => useSSE({ endpoint: SSE, environment: env, enabled }),
      { initialProps: { enabled: true } },
    );
    await pass(10);
    for (const enabled of [false, true, false, true]) rerender({ enabled });
    await letGo();
    await pass(10);
    expect([times(), result.current.status]).toEqual([["0 sse"], "open"]);
  });

  test("drops what there is and connects anew when it is asked to", async () => {
    const { env, asked, pass } = world({ sse: [open([0, event(2)]), open()] });
    const { result } = renderHook(() => useSSE({ endpoint: SSE, environment: env }));
    await pass(10);
    act(() => result.current.reconnect());
    await pass(10);
    expect(asked.map(({ abandonedAtMs }) => abandonedAtMs)).toEqual([10, undefined]);
    expect(asked[1]?.headers["Last-Event-ID"]).toBe("k7q2m9x1-2");
  });

  test("two components have a connection each, and under a provider one for both", async () => {
    const { env, times, pass } = world({ sse: [open()] });
    render(
      <>
        <Own useHook={useSSE} env={env} />
        <Own useHook={useSSE} env={env} />
      </>,
    );
    await pass(10);
    expect(times()).toEqual(["0 sse", "0 sse"]);
    const { container } = render(
      <StrictMode>
        <TidingsProvider url={url} environment={env}>
          <Below /> <Below />
        </TidingsProvider>
      </StrictMode>,
    );
    await pass(10);
    expect([times().length, container.textContent]).toEqual([3, "open open"]);
  });

  test("the provider's connection outlives the components below it", async () => {
    const { env, times, asked, pass } = world({ sse: [open()] });
    const shown = (below: boolean) => (
      <TidingsProvider url={url} environment={env}>
        {below && <Below />}
      </TidingsProvider>
    );
    const { container, rerender, unmount } = render(shown(true));
    await pass(10);
    rerender(shown(false));
    await letGo();
    rerender(shown(true));
    expect([times(), container.textContent]).toEqual([["0 sse"], "open"]);
    unmount();
    await letGo();
    expect(asked[0]?.abandonedAtMs).toBe(10);
  });

  test("the provider renders on a server, and is missed with words where there is none", () => {
    const { env, asked } = world({ sse: [open()] });
    expect(
      renderToString(
        <TidingsProvider url={url} environment={env}>
          <Below />
        </TidingsProvider>,
      ),
    ).toBe("idle");
    expect(asked).toEqual([]);
    expect(() => renderToString(<Orphan />)).toThrow("there is no <TidingsProvider> above");
  });
});
