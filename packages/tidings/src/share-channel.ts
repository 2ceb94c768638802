// What the tabs that share a connection say to each other, where they say it, and which tabs those are. It
// knows the messages and the browser's parts for them, and nothing of what follows from a message.

import type { Host, Stage } from "./connection.ts";
import type { Entry, Standing } from "./share-recent.ts";
import type { ChannelSource, Environment, Failure, LockSource } from "./types.ts";

/** Tabs with another version of these messages share among themselves. */
const VERSION = 1;

/** Said by whoever follows or wants to, and answered by whoever leads. */
export type Question = { readonly from: string } & (
  | ({ readonly kind: "hello" } & Standing)
  /** Are you there? Perhaps something has happened to the connection, too. */
  | { readonly kind: "ping"; readonly woken: boolean; readonly sure: boolean }
  | { readonly kind: "reconnect" }
);

/** Said by whoever leads. Of two leaderships the one with the greater term is the newer. */
export type Word = { readonly from: string; readonly term: number } & (
  | { readonly kind: "lead" }
  | { readonly kind: "pong" }
  /** One tab's answer to its hello. */
  | {
      readonly kind: "welcome";
      readonly to: string;
      /** What it is owed; nothing when it must see to it itself. */
      readonly entries: readonly Entry[] | undefined;
      /** The place that the entries follow, and the place after them. */
      readonly start: string | undefined;
      readonly end: string | undefined;
      readonly stage: Stage;
    }
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "stage"; readonly stage: Stage }
  | { readonly kind: "ended"; readonly failure: Failure }
);

export type Message = Question | Word;

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** What is said, without who says it. */
export type Asking = Without<Question, "from">;
export type Saying = Without<Word, "from" | "term">;

/** The locks and channels of the browser, or what took their place; nothing where one of them is missing. */
export function sourcesOf(
  env: Environment,
): { locks: LockSource; channel: ChannelSource } | undefined {
  const locks = "locks" in env ? env.locks : globalThis.navigator?.locks;
  const channel = "channel" in env ? env.channel : globalThis.BroadcastChannel && openChannel;
  return locks && channel && { locks, channel };
}

const openChannel: ChannelSource = (name, heard) => {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }: { data: unknown }) => heard(data);
  return {
    post: (message) => channel.postMessage(message),
    close: () => channel.close(),
  };
};

/**
 * The same for clients that would ask for the same, and for no others. Seen by pages of the same origin only,
 * as all that it names is.
 */
export function nameOf(host: Host): string {
  const base = globalThis.document?.baseURI;
  const { user, topics, types, headers, credentials, transports, rewind = null } = host;
  return `tidings:${JSON.stringify([
    VERSION,
    user,
    addressOf(host.sseEndpoint, base),
    addressOf(host.pollingEndpoint, base),
    [...topics].sort(),
    [...types].sort(),
    Object.entries(headers).sort(),
    credentials,
    transports,
    rewind,
  ])}`;
}

/** In full, since the same words mean another address on another page. */
function addressOf(endpoint = "", base: string | undefined): string {
  try {
    return new URL(endpoint, base).href;
  } catch {
    return endpoint;
  }
}
