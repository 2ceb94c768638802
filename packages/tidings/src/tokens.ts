// The token: got from the application, kept until it is refused, and got again once. Clients that share the
// application's function share the token and the one call for it.

import type { TokenFunction } from "./types.ts";

export interface Tokens {
  /** The token, or nothing when requests carry none. Rejects when the application's function fails. */
  get(): Promise<string | undefined>;
  /** The server has let this token in. */
  accepted(token: string | undefined): void;
  /** The server has refused it. Whether there is a point in asking again. */
  refused(token: string | undefined): boolean;
  /** The token is good but spent: a stream of it has ended. */
  spent(token: string | undefined): void;
}

/** What is known of the token of one function. */
interface Held {
  /** Whether `token` is what the function gave. */
  has: boolean;
  token: string | undefined;
  flight: Promise<string | undefined> | undefined;
  /** It replaces a refused one and was not let in yet: if it is refused too, that is the end. */
  onTrial: boolean;
}

const held = /* @__PURE__ */ new WeakMap<TokenFunction, Held>();

export function createTokens(given: string | TokenFunction | undefined): Tokens {
  const renewable = typeof given === "function";
  const known = renewable && held.get(given);
  const state: Held = known || {
    has: !renewable,
    token: renewable ? undefined : given,
    flight: undefined,
    onTrial: !renewable,
  };
  if (renewable) held.set(given, state);

  async function ask(): Promise<string | undefined> {
    try {
      state.token = (await (given as TokenFunction)()) ?? undefined;
      state.has = true;
      return state.token;
    } finally {
      state.flight = undefined;
    }
  }

  return {
    async get() {
      if (state.has) return state.token;
      state.flight ??= ask();
      return state.flight;
    },
    accepted(token) {
      if (state.token === token) state.onTrial = !renewable;
    },
    refused(token) {
      // Somebody else has replaced it, or is about to.
      if (!state.has || state.token !== token) return true;
      if (state.onTrial) {
        // The next one who connects, after signing in perhaps, begins anew.
        state.has = state.onTrial = !renewable;
        return false;
      }
      state.onTrial = true;
      state.has = false;
      return true;
    },
    spent(token) {
      if (state.token === token) state.has = !renewable;
    },
  };
}
