// Asks for something again and again while the page is seen. What was there stays while the next answer is awaited and
// when it fails, so that nothing flickers; an answer to an older question is dropped.

import { useCallback, useEffect, useState } from "react";
import { wordsOf } from "./api.ts";

export interface Polled<T> {
  readonly data: T | undefined;
  readonly error: string | undefined;
  /** The answer to the present question is still awaited. */
  readonly loading: boolean;
  refresh(): void;
}

interface Answer<T> {
  readonly question: string;
  readonly data: T | undefined;
  readonly error: string | undefined;
}

/** `question` says what is asked: another one is asked at once. */
export function usePolled<T>(
  question: string,
  everyMs: number,
  ask: (signal: AbortSignal) => Promise<T>,
): Polled<T> {
  const [answer, setAnswer] = useState<Answer<T>>();
  const [turn, setTurn] = useState(0);
  const refresh = useCallback(() => setTurn((number) => number + 1), []);

  // `question` stands for what `ask` asks.
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = async () => {
      if (document.visibilityState === "visible") {
        try {
          const data = await ask(abort.signal);
          if (!abort.signal.aborted) setAnswer({ question, data, error: undefined });
        } catch (error) {
          if (abort.signal.aborted) return;
          setAnswer((before) => ({ question, data: before?.data, error: wordsOf(error) }));
        }
      }
      if (!abort.signal.aborted) timer = setTimeout(once, everyMs);
    };
    void once();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [question, everyMs, turn]);

  const loading = answer?.question !== question;
  return { data: answer?.data, error: answer?.error, loading, refresh };
}
