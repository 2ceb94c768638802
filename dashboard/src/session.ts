// Who is signed in: the operator's key. It is kept in memory, and in `sessionStorage` when asked for, which
// ends with the tab. It is never part of an address, and nothing else of this page stores it.

const STORED_AS = "tidings:admin-key";

export interface Session {
  get(): string | undefined;
  subscribe(listener: () => void): () => void;
  /** `keep` survives a reload of this tab. */
  signIn(key: string, keep: boolean): void;
  signOut(reason?: string): void;
  /** Why one was signed out, when it was not one's own wish. */
  reason(): string | undefined;
}

export function createSession(storage: () => Storage): Session {
  let key = attempt(() => storage().getItem(STORED_AS) ?? undefined);
  let reason: string | undefined;
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const listener of [...listeners]) listener();
  };
  return {
    get: () => key,
    reason: () => reason,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    signIn(given, keep) {
      key = given;
      reason = undefined;
      if (keep) attempt(() => storage().setItem(STORED_AS, given));
      tell();
    },
    signOut(why) {
      key = undefined;
      reason = why;
      attempt(() => storage().removeItem(STORED_AS));
      tell();
    },
  };
}

/** A storage may be forbidden or full; then the key is in memory alone. */
function attempt<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
