// One client for a component: made when its address or topics change, never because a function was written
// inline, connected while mounted, and closed a moment after, so that StrictMode makes one connection.

import { useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { createTidings } from "../client.ts";
import type { EventMap, State, Tidings, TidingsEvent, TidingsOptions } from "../types.ts";

/** The client's options, and whether to connect at all. */
export interface ClientOptions<Events extends EventMap = EventMap>
  extends Omit<TidingsOptions<Events>, "signal"> {
  /** Connects only while this is true; true unless given. */
  enabled?: boolean;
}

/** How many components keep a client, and what was begun when the last one let go. */
interface Keeping {
  count: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** We closed it, not the application: whoever keeps it next may open it again. */
  released: boolean;
}

const keepings = /* @__PURE__ */ new WeakMap<Tidings, Keeping>();

/** Keeps the client connected until the returned function is called. */
function keep(client: Tidings): () => void {
  const keeping = keepings.get(client) ?? { count: 0, timer: undefined, released: false };
  keepings.set(client, keeping);
  keeping.count += 1;
  clearTimeout(keeping.timer);
  if (keeping.released) client.reconnect();
  else client.connect();
  keeping.released = false;
  return () => {
    keeping.count -= 1;
    if (keeping.count > 0) return;
    // Not at once: React unmounts and mounts again where it means neither.
    keeping.timer = setTimeout(() => {
      keeping.released = client.getSnapshot().status !== "closed";
      client.close();
    }, 0);
  };
}

/** The newest value, for callbacks that must not be a reason to connect anew. */
export function useNewest<T>(value: T): { readonly current: T } {
  const ref = useRef(value);
  useInsertionEffect(() => {
    ref.current = value;
  });
  return ref;
}

/** The client of these options, and its state. `onEvent` is called for every event. */
export function useClient(
  options: ClientOptions,
  onEvent?: (event: TidingsEvent) => unknown,
): { client: Tidings; state: State } {
  const { enabled = true } = options;
  const newest = useNewest({ options, onEvent });
  const { url, sseEndpoint, pollingEndpoint, topics, types, rewind, transports, plain, user } =
    options;
  const { credentials, headers, pauseWhenHidden, shareTabs, timing } = options;
  const addresses = [url, sseEndpoint, pollingEndpoint].map((address) => address?.toString());
  const key = JSON.stringify([
    addresses,
    topics,
    types,
    rewind,
    transports,
    plain,
    user,
    credentials,
    headers,
    pauseWhenHidden,
    shareTabs,
    timing,
  ]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the options that matter.
  const client = useMemo(() => {
    const { token, fetch, validate, onGap, onHandlerError, ...rest } = options;
    const given = (name: "onGap" | "onHandlerError", value: never) =>
      (newest.current.options[name] as ((value: never) => unknown) | undefined)?.(value);
    return createTidings({
      ...rest,
      ...(token === undefined ? {} : { token: () => tokenOf(newest.current.options) }),
      ...(fetch
        ? { fetch: (input, init) => (newest.current.options.fetch ?? fetch)(input, init) }
        : {}),
      ...(validate
        ? { validate: (event) => (newest.current.options.validate ?? validate)(event) }
        : {}),
      ...(onHandlerError
        ? { onHandlerError: (error) => void given("onHandlerError", error as never) }
        : {}),
      onGap: (gap) => given("onGap", gap as never),
    });
  }, [key]);

  useEffect(() => {
    if (!enabled) return;
    const off = client.onAny((event) => newest.current.onEvent?.(event));
    const letGo = keep(client);
    return () => {
      off();
      letGo();
    };
  }, [client, enabled, newest]);

  return { client, state: useClientState(client) };
}

function tokenOf({ token }: ClientOptions) {
  return typeof token === "function" ? token() : token;
}

const IDLE: State = { status: "idle", cursor: undefined };

/** The client's state, rendered as it changes; `idle` on a server. */
export function useClientState(client: Tidings): State {
  return useSyncExternalStore(client.subscribe, client.getSnapshot, () => IDLE);
}
