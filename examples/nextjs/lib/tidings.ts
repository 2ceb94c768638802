// The application's side of Tidings: one client with the API key, which never leaves the server. Knows
// nothing of Next.js and Auth.js.

import { Tidings } from "tidings/server";

/** Where Tidings is, for this server and for browsers alike. */
export const TIDINGS_URL = process.env.TIDINGS_URL ?? "http://localhost:4000";

/** Someone waits for a form that publishes, so it is given up sooner than the package would. */
const TRYING_MS = 3_000;

let made: Tidings | undefined;

/** Made when it is first used: `next build` loads this file where there is no TIDINGS_API_KEY. */
export function tidings(): Tidings {
  made ??= Tidings.fromEnv({ url: TIDINGS_URL, tryingMs: TRYING_MS });
  return made;
}

/** Closes the streams of one session within a second, and opens no more for it. */
export async function revokeSession(sessionId: string): Promise<void> {
  const response = await fetch(`${TIDINGS_URL}/api/revocations`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.TIDINGS_API_KEY}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ session: sessionId }),
    signal: AbortSignal.timeout(TRYING_MS),
  });
  if (!response.ok) {
    throw new Error(`Tidings answered ${response.status}: ${await response.text()}`);
  }
}
