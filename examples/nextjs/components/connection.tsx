"use client";

// How a page is connected, for its reader: a word beside the title, and a sentence. Knows the states of the
// package's client and no particular page.

import { type ReactNode, useEffect, useState } from "react";
import type { State } from "tidings";
import { describe } from "@/lib/describe";

const TICK_MS = 500;

/** The time, as often as somebody counts with it. */
function useNow(counts: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!counts) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [counts]);
  return now;
}

interface HeadingProps {
  title: string;
  state: State;
  /** What the page shows, in a sentence. */
  children: ReactNode;
}

export function Heading({ title, state, children }: HeadingProps) {
  const now = useNow(state.status === "retrying");
  return (
    <div>
      <div className="heading">
        <h1>{title}</h1>
        <output id="state" data-state={state.status}>
          {describe(state, now).words}
        </output>
      </div>
      <p className="lead">{children}</p>
    </div>
  );
}

export function Detail({ state }: { state: State }) {
  const signedOut = state.status === "closed" && state.error?.status === 401;
  return (
    <p className="quiet detail" id="detail">
      {describe(state, 0).detail} {signedOut && <a href="/sign-in">Sign in again.</a>}
    </p>
  );
}
