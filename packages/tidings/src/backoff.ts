// How long to wait before the next attempt. Full jitter between the shortest wait and a ceiling that doubles
// with every failure, so that clients dropped together do not come back together. Time and randomness are
// arguments.

/** The longest wait a server can ask for: past this its answer is more likely wrong than patient. */
export const ASKED_WAIT_MS_MAX = 300_000;

/** Doublings after which the ceiling is at its maximum for any base. */
const DOUBLINGS_MAX = 16;

/**
 * The wait after so many failures in a row. `asked` is what the server asked for: the wait is never shorter,
 * and up to a tenth longer.
 */
export function backoffMs(
  failures: number,
  minMs: number,
  maxMs: number,
  baseMs: number,
  random: number,
  askedMs?: number,
): number {
  const doubled = baseMs * 2 ** Math.min(failures - 1, DOUBLINGS_MAX);
  const ceiling = Math.min(Math.max(doubled, minMs), Math.max(maxMs, minMs));
  const wait = minMs + (ceiling - minMs) * random;
  const asked = Math.min(askedMs ?? 0, ASKED_WAIT_MS_MAX) * (1 + random / 10);
  return Math.round(Math.max(wait, asked));
}

/** The wait of a server that spreads its clients itself: followed to the millisecond. */
export function plannedMs(askedMs: number, minMs: number): number {
  return Math.min(Math.max(askedMs, minMs), ASKED_WAIT_MS_MAX);
}

/** `Retry-After`, in seconds or as a date, as milliseconds from now. */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (!header) return undefined;
  const secs = Number(header);
  const ms = secs >= 0 ? secs * 1_000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}
