// Watches topics through the package's client and keeps what comes in a buffer. Whoever shows it is told a few times a
// second at most, however many events come.

import { useEffect, useMemo, useState } from "react";
import { createTidings, type State } from "tidings";
import { useServer } from "../feed.tsx";
import { type Buffer, createBuffer } from "./buffer.ts";

const EVENTS_MAX = 2_000;
const CHARS_MAX = 4_000_000;
const TELL_EVERY_MS = 250;

export interface Wish {
  readonly topics: readonly string[];
  /** A count of events before now, or `all`. */
  readonly rewind: string;
}

export interface Watched {
  readonly buffer: Buffer;
  readonly state: State;
  /** Changes with what the buffer holds. */
  readonly version: number;
  clear(): void;
}

const GAPS: Record<string, string> = {
  epoch: "the server restarted, and its log began anew",
  expired: "the log no longer reaches back to where this page was",
  unknown: "the server does not know the place where this page was",
  slow: "the log moved on faster than this page read it",
};

export function useWatched(wish: Wish): Watched {
  const { url, credential } = useServer();
  const question = JSON.stringify(wish);
  // What is watched anew begins with nothing.
  const buffer = useMemo(
    () => createBuffer({ eventsMax: EVENTS_MAX, charsMax: CHARS_MAX }),
    [question],
  );
  const [version, setVersion] = useState(0);
  const [state, setState] = useState<State>({ status: "idle", cursor: undefined });

  useEffect(() => {
    const { topics, rewind } = JSON.parse(question) as Wish;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setVersion((number) => number + 1);
      }, TELL_EVERY_MS);
    };
    const client = createTidings({
      url,
      topics,
      rewind,
      token: () => credential,
      credentials: "omit",
    });
    const offState = client.subscribe(() => setState(client.getSnapshot()));
    client.onGap(({ reason, cursor }) => {
      const gap = `Events are missing here: ${GAPS[reason] ?? reason}.`;
      buffer.add({ id: `gap ${cursor}`, type: "", topics: [], time: undefined, data: "", gap });
      tell();
    });
    client.onAny(({ id, type, data, topics: published, time }) => {
      // The server's own, such as the numbers of this page.
      if (published.every((topic) => topic.startsWith("$"))) return;
      const text = typeof data === "string" ? data : JSON.stringify(data);
      buffer.add({ id, type, topics: published, time, data: text });
      tell();
    });
    return () => {
      offState();
      client.close();
      clearTimeout(timer);
    };
  }, [url, credential, question, buffer]);

  const clear = () => {
    buffer.clear();
    setVersion((number) => number + 1);
  };
  return { buffer, state, version, clear };
}
