// The page that the package is tested in: a few clients, or a component with the hook, and what they were told
// so far. It runs in Chromium and is a small application; what should have been told is the tests' business.

import { createElement, type ReactNode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { createTidings, type State, type TidingsOptions } from "tidings";
import { type RealTimeUpdates, useRealTimeUpdates } from "tidings/react";

/** What a client was told, oldest first. */
export interface Told {
  seen: unknown[];
  gaps: string[];
  states: State[];
}

/** What the hook returned, each time something of it had changed. */
export type Returned = Pick<
  RealTimeUpdates,
  "status" | "isConnected" | "isLoading" | "error" | "updateMethod"
> & {
  atMs: number;
  /** When the next attempt was to be made. */
  retryAtMs: number | undefined;
};

/** How a handler treats the client: it returns nothing, or a promise for every tenth event. */
export type Manner = "prompt" | "busy";

declare global {
  interface Window {
    page: typeof import("./package-page.ts");
    mounted: Mounted;
    /** The application's own way to get a token. */
    getToken(): Promise<string | null>;
  }
}

/** Listens with a client of its own, which is asked to go on when it has ended. */
export function listen(options: TidingsOptions, manner: Manner): Told {
  const told: Told = { seen: [], gaps: [], states: [] };
  const client = createTidings({
    ...options,
    token: () => window.getToken(),
    onGap: ({ reason }) => told.gaps.push(reason),
  });
  client.subscribe(() => {
    const state = client.getSnapshot();
    told.states.push(state);
    if (state.status === "closed") client.reconnect();
  });
  client.on("message", ({ data }) => {
    told.seen.push(data);
    if (manner === "prompt" || told.seen.length % 10) return undefined;
    return new Promise((resolve) => setTimeout(resolve));
  });
  return told;
}

export interface Mounted {
  /** The data of events, and gaps by their reason. */
  seen: unknown[];
  returned: Returned[];
  lastUpdateMs: number | undefined;
  /** The newest of them as text. */
  last: string;
  reconnect(): void;
}

/** Shows a component that uses the hook; `window.mounted` is what it was told. */
export function mount(options: TidingsOptions): void {
  const mounted: Mounted = {
    seen: [],
    returned: [],
    lastUpdateMs: undefined,
    last: "",
    reconnect: () => undefined,
  };
  const root = document.createElement("div");
  document.body.append(root);
  createRoot(root).render(createElement(Orders, { options, mounted }));
  window.mounted = mounted;
}

function Orders({ options, mounted }: { options: TidingsOptions; mounted: Mounted }): ReactNode {
  const { status, isConnected, isLoading, error, updateMethod, lastUpdate, state, reconnect } =
    useRealTimeUpdates({
      token: () => window.getToken(),
      ...options,
      onGap: ({ reason }) => mounted.seen.push(`gap ${reason}`),
      eventHandlers: { message: ({ data }) => mounted.seen.push(data) },
    });
  useEffect(() => {
    mounted.reconnect = reconnect;
    mounted.lastUpdateMs = lastUpdate?.getTime();
    const shown = { status, isConnected, isLoading, error, updateMethod };
    if (mounted.last === JSON.stringify(shown)) return;
    mounted.last = JSON.stringify(shown);
    mounted.returned.push({
      ...shown,
      atMs: Date.now(),
      retryAtMs: state.status === "retrying" ? state.retryAt : undefined,
    });
  });
  return status;
}
