// The live numbers: what the server remembers of the last hours, and then each second as it happens, over Tidings' own
// stream through the package's hooks. One store holds them; whoever draws reads it.

import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { State } from "tidings";
import { TidingsProvider, useEvent, useTidings, useTidingsState } from "tidings/react";
import type { Sample, Stats } from "./answers.ts";
import { type Api, createApi, wordsOf } from "./api.ts";
import { fromServer, type History, measured, NO_HISTORY, withSample } from "./history.ts";

const STATS_TOPIC = "$tidings/stats";
const FINE_SECS = 600;
const COARSE_SECS = 21_600;

export interface Feed {
  readonly history: History;
  readonly newest: Sample | undefined;
  /** What the server remembers has been read. */
  readonly loaded: boolean;
  /** Why that failed. */
  readonly error: string | undefined;
}

interface FeedStore {
  get(): Feed;
  subscribe(listener: () => void): () => void;
  add(sample: Sample): void;
  load(api: Api, signal: AbortSignal): Promise<void>;
}

export function createFeedStore(): FeedStore {
  let feed: Feed = { history: NO_HISTORY, newest: undefined, loaded: false, error: undefined };
  const listeners = new Set<() => void>();
  // The server that was asked for its past. What others that share its log say of themselves is not shown.
  let node: string | undefined;
  const isOfNode = (sample: Sample) => node === undefined || sample.node === node;
  const set = (change: Partial<Feed>) => {
    feed = { ...feed, ...change };
    for (const listener of [...listeners]) listener();
  };
  const setHistory = (history: History, more: Partial<Feed> = {}) =>
    set({ history, newest: history.fine.at(-1) ?? history.coarse.at(-1), ...more });
  return {
    get: () => feed,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    add: (sample) => {
      if (isOfNode(sample)) setHistory(withSample(feed.history, measured(sample)));
    },
    async load(api, signal) {
      const stats = (secs: number) => api<Stats>("/api/admin/stats", { query: { secs }, signal });
      try {
        const [fine, coarse] = await Promise.all([stats(FINE_SECS), stats(COARSE_SECS)]);
        node = fine.node;
        const reached = fine.samples.at(-1)?.timestamp ?? 0;
        // What the stream brought while the answer was under way.
        const since = feed.history.fine.filter(
          (sample) => sample.timestamp > reached && isOfNode(sample),
        );
        const remembered = fromServer(
          fine.samples.map(measured),
          coarse.samples.filter(isOfNode).map(measured),
        );
        setHistory(since.reduce(withSample, remembered), { loaded: true, error: undefined });
      } catch (error) {
        if (!signal.aborted) set({ error: wordsOf(error) });
      }
    },
  };
}

interface Signed {
  readonly url: string;
  readonly api: Api;
  readonly credential: string;
  readonly store: FeedStore;
}

const Context = createContext<Signed | null>(null);

function useSigned(): Signed {
  const signed = useContext(Context);
  if (!signed) throw new Error("nobody is signed in above this component");
  return signed;
}

export const useApi = (): Api => useSigned().api;

/** The server's address and the key, for a stream of one's own. */
export const useServer = (): Pick<Signed, "url" | "credential"> => useSigned();

export function useFeed(): Feed {
  const { store } = useSigned();
  return useSyncExternalStore(store.subscribe, store.get);
}

/** Gives everything below it the server, and the live numbers. */
export function FeedProvider(props: {
  url: string;
  credential: string;
  onRefused: (why: string) => void;
  children: ReactNode;
}) {
  const { url, credential, onRefused, children } = props;
  const [store] = useState(createFeedStore);
  const signed = useMemo(
    () => ({ url, credential, store, api: createApi(url, credential) }),
    [url, credential, store],
  );
  return (
    <Context.Provider value={signed}>
      <TidingsProvider
        url={url}
        topics={[STATS_TOPIC]}
        token={() => credential}
        credentials="omit"
        pauseWhenHidden={false}
      >
        <Listener onRefused={onRefused} />
        {children}
      </TidingsProvider>
    </Context.Provider>
  );
}

/** Puts what arrives into the store, and reads the past anew wherever the stream was away from it. */
function Listener({ onRefused }: { onRefused: (why: string) => void }) {
  const { api, store } = useSigned();
  const client = useTidings();
  const state = useTidingsState();
  useEvent<Sample>("stats", ({ data }) => store.add(data));

  const [loads, setLoads] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    void store.load(api, abort.signal);
    return () => abort.abort();
  }, [api, store, loads]);
  useEffect(() => client.onGap(() => setLoads((number) => number + 1)), [client]);
  const wasAway = useRef(false);
  useEffect(() => {
    const works = state.status === "open" || state.status === "polling";
    if (state.status === "retrying") wasAway.current = true;
    if (works && wasAway.current) {
      wasAway.current = false;
      setLoads((number) => number + 1);
    }
  }, [state.status]);

  const refused = refusalIn(state);
  useEffect(() => {
    if (refused) onRefused(refused);
  }, [refused, onRefused]);
  return null;
}

function refusalIn(state: State): string | undefined {
  if (state.status !== "closed" || !state.error) return undefined;
  const { status, message } = state.error;
  return status === 401 || status === 403 ? message : undefined;
}
