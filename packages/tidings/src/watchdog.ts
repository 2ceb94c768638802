// Notices that nothing was heard for too long. Knows no stream: it is told of each sign of life.

import type { Environment } from "./types.ts";

/** A timer that fires this much too late was asleep with the machine or the page. */
const ASLEEP_MS = 2_000;
/** What was sent meanwhile may still lie unread, so the first look after a sleep grants this much more. */
const GRACE_MS = 1_000;

export interface Watchdog {
  /** A sign of life. */
  touch(): void;
  /** Watches for silences of another length from now on; 0 for none. */
  limit(ms: number): void;
  /** Holds still while the reader itself is busy, so that its own slowness is nobody's silence. */
  hold(): void;
  stop(): void;
}

export function createWatchdog(
  env: Pick<Environment, "setTimeout" | "clearTimeout" | "now">,
  limitMs: number,
  onSilent: () => void,
): Watchdog {
  let heardAt = env.now();
  let limit = limitMs;
  let graced = false;
  let held = false;
  let timer: unknown;

  function arm(ms: number): void {
    env.clearTimeout(timer);
    if (!ms) return;
    const due = env.now() + ms;
    timer = env.setTimeout(() => look(env.now() - due), ms);
  }

  function look(lateMs: number): void {
    if (held) return;
    const silentMs = env.now() - heardAt;
    // A clock that was set back says nothing about the silence, which was then at least the timer's.
    if (silentMs >= 0 && silentMs < limit) {
      arm(limit - silentMs);
    } else if (lateMs > ASLEEP_MS && !graced) {
      graced = true;
      arm(GRACE_MS);
    } else {
      onSilent();
    }
  }

  arm(limit);
  return {
    touch() {
      heardAt = env.now();
      graced = false;
      if (!held) return;
      held = false;
      arm(limit);
    },
    limit(ms) {
      limit = ms;
      heardAt = env.now();
      arm(ms);
    },
    hold() {
      held = true;
    },
    stop() {
      held = true;
      env.clearTimeout(timer);
    },
  };
}
