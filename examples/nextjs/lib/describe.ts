// What a connection's state is called on a page: in a few words, and in a sentence. Knows no component.

import type { State } from "tidings";

export interface Description {
  words: string;
  detail: string;
}

/** `now` is for counting down, milliseconds since 1970. */
export function describe(state: State, now: number): Description {
  switch (state.status) {
    case "idle":
    case "connecting":
      return {
        words: "Connecting",
        detail:
          state.status === "connecting" && state.error
            ? `The last attempt failed (${state.error.message}). Another one is being made.`
            : "An answer of Tidings is awaited.",
      };
    case "open":
      return { words: "Live", detail: "A stream is open: what is published arrives at once." };
    case "polling":
      return {
        words: "Live by polling",
        detail: state.error
          ? `No stream gets through (${state.error.message}). It is tried again in the background.`
          : "The page asks every few seconds, as often as the server wishes.",
      };
    case "retrying": {
      const secs = Math.max(Math.ceil((state.retryAt - now) / 1_000), 1);
      return {
        words: `Retrying in ${secs} s`,
        detail: `No connection (${state.error.message}). What is missed comes afterwards.`,
      };
    }
    case "paused":
      return { words: "Paused", detail: "The browser has frozen the page." };
    case "closed":
      return state.error?.status === 401
        ? { words: "Signed out", detail: "You have signed out, here or in another tab." }
        : { words: "Ended", detail: state.error?.message ?? "The connection was closed." };
  }
}
