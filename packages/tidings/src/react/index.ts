"use client";

// The hooks: a thin window onto the client. Events reach handlers one by one; only what a page shows about the
// connection goes through React's state.

import {
  createContext,
  createElement,
  type ReactNode,
  useContext,
  useEffect,
  useState,
} from "react";
import type { EventHandler, EventMap, Failure, State, Tidings, TidingsEvent } from "../types.ts";
import { type ClientOptions, useClient, useClientState, useNewest } from "./client.ts";

export type { ClientOptions } from "./client.ts";

/** Events of which nothing is known before. */
// biome-ignore lint/suspicious/noExplicitAny: each handler names the data of its own type.
export type AnyEvents = Record<string, any>;

/** Handlers by event type. They may be written inline. With `validate` their types are those of its schemas. */
export type EventHandlers<Events extends EventMap = AnyEvents> = {
  readonly [Type in keyof Events]?: EventHandler<Events[Type]>;
};

/** What every hook with a connection of its own returns. */
export interface ConnectionResult {
  /** The state in full. */
  readonly state: State;
  readonly status: State["status"];
  /** Events arrive, by stream or by polls. */
  readonly isConnected: boolean;
  readonly error: Failure | null;
  /** When the last event was handled. */
  readonly lastUpdate: Date | null;
  /** Drops what there is and connects anew. */
  reconnect(): void;
  /** Ends the connection until `reconnect`. */
  close(): void;
}

/** What `useSSE` takes: the client's options, with one address. */
export interface UseSSEOptions<Events extends EventMap = AnyEvents>
  extends Omit<ClientOptions<Events>, "sseEndpoint" | "transports" | "pollingEndpoint"> {
  /** The stream's address, unless `url` names the server. */
  endpoint?: string | URL;
  eventHandlers?: EventHandlers<NoInfer<Events>>;
}

/** A live stream, without a fallback. */
export function useSSE<Events extends EventMap = AnyEvents>({
  endpoint,
  eventHandlers,
  ...options
}: UseSSEOptions<Events>): ConnectionResult {
  const address = endpoint === undefined ? {} : { sseEndpoint: endpoint };
  return useConnection({ ...options, ...address, transports: ["sse"] }, byType(eventHandlers));
}

/** What `usePollingFallback` takes: the client's options, with one address. */
export interface UsePollingFallbackOptions
  extends Omit<ClientOptions, "pollingEndpoint" | "transports" | "sseEndpoint"> {
  /** The polling address, unless `url` names the server. */
  endpoint?: string | URL;
  /** The shortest wait between polls, milliseconds. The server may ask for a longer one. */
  interval?: number;
  /** Is called with each event, once and in order. */
  onUpdate?: EventHandler<unknown>;
}

/** Polls, without a stream. */
export function usePollingFallback(
  options: UsePollingFallbackOptions,
): ConnectionResult & { readonly isPolling: boolean } {
  const { endpoint, interval, onUpdate, timing, ...rest } = options;
  const address = endpoint === undefined ? {} : { pollingEndpoint: endpoint };
  const wait = interval === undefined ? {} : { pollIntervalMs: interval };
  const result = useConnection(
    { ...rest, ...address, transports: ["poll"], timing: { ...timing, ...wait } },
    onUpdate,
  );
  const isPolling = !["idle", "paused", "closed"].includes(result.status);
  return { ...result, isPolling };
}

/** What `useRealTimeUpdates` takes: the client's options, and handlers. */
export interface UseRealTimeUpdatesOptions<Events extends EventMap = AnyEvents>
  extends ClientOptions<Events> {
  eventHandlers?: EventHandlers<NoInfer<Events>>;
}

/** What `useRealTimeUpdates` returns. */
export interface RealTimeUpdates extends ConnectionResult {
  /** The first answer is still awaited. */
  readonly isLoading: boolean;
  readonly updateMethod: "sse" | "polling" | null;
}

/** A live stream, with polls where it cannot get through, on one cursor. */
export function useRealTimeUpdates<Events extends EventMap = AnyEvents>({
  eventHandlers,
  ...options
}: UseRealTimeUpdatesOptions<Events>): RealTimeUpdates {
  const result = useConnection(options, byType(eventHandlers));
  const { status, error } = result;
  const updateMethod = status === "open" ? "sse" : status === "polling" ? "polling" : null;
  const isLoading =
    options.enabled !== false && !error && (status === "idle" || status === "connecting");
  return { ...result, isLoading, updateMethod };
}

function byType(handlers: EventHandlers | undefined): (event: TidingsEvent) => unknown {
  return (event) =>
    handlers && Object.hasOwn(handlers, event.type) ? handlers[event.type]?.(event) : undefined;
}

function useConnection(
  options: ClientOptions,
  onEvent: ((event: TidingsEvent) => unknown) | undefined,
): ConnectionResult {
  const [lastUpdate, setLastUpdate] = useState<Date | null>(null);
  const { client, state } = useClient(options, (event) => {
    setLastUpdate(new Date());
    return onEvent?.(event);
  });
  const { status } = state;
  return {
    state,
    status,
    isConnected: status === "open" || status === "polling",
    error: ("error" in state && state.error) || null,
    lastUpdate,
    reconnect: client.reconnect,
    close: client.close,
  };
}

const Context = /* @__PURE__ */ createContext<Tidings | null>(null);

/** Shares one client with everything below it. */
export function TidingsProvider({
  children,
  ...options
}: ClientOptions & { children?: ReactNode }): ReactNode {
  const { client } = useClient(options);
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the provider above. */
export function useTidings(): Tidings {
  const client = useContext(Context);
  if (!client) throw new Error("there is no <TidingsProvider> above this component");
  return client;
}

/** The state of the provider's client. */
export function useTidingsState(): State {
  return useClientState(useTidings());
}

/** Handles events of one type from the provider's client, one by one. The handler may be written inline. */
export function useEvent<T = unknown>(type: string, handler: EventHandler<T>): void {
  const client = useTidings();
  const newest = useNewest(handler);
  useEffect(
    () => client.on(type, (event) => newest.current(event as TidingsEvent<T>)),
    [client, type, newest],
  );
}

/** The newest event of one type: of the client's cache at first, if it has one. */
export function useLastEvent<T = unknown>(type: string): TidingsEvent<T> | undefined {
  const client = useTidings();
  const [last, setLast] = useState<TidingsEvent>();
  useEffect(() => {
    setLast(client.cache?.last(type));
    return client.on(type, setLast);
  }, [client, type]);
  return last?.type === type ? (last as TidingsEvent<T>) : undefined;
}
