"use client";

// A time of day as the reader's own clock has it. The server does not know that clock, so it leaves the
// place empty instead of guessing.

import { useSyncExternalStore } from "react";

const never = () => () => undefined;

export function Time({ at }: { at: number }) {
  const text = useSyncExternalStore(
    never,
    () => new Date(at).toLocaleTimeString(),
    () => "",
  );
  return <time dateTime={new Date(at).toISOString()}>{text}</time>;
}
