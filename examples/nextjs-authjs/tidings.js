// What the application's server says to Tidings: two requests, with the API key that never leaves the
// server. Knows nothing of Next.js and Auth.js.

export const TIDINGS_URL = process.env.TIDINGS_URL ?? "http://localhost:4000";

const TIMEOUT_MS = 3_000;

/** Publishes one event. */
export function publish(event) {
  return post("/api/events", event);
}

/** Closes the streams of one session within a second, and opens no more for it. */
export function revokeSession(sessionId) {
  return post("/api/revocations", { session: sessionId });
}

async function post(path, body) {
  const response = await fetch(`${TIDINGS_URL}${path}`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.TIDINGS_API_KEY}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) {
    throw new Error(
      `Tidings answered POST ${path} with ${response.status}: ${await response.text()}`,
    );
  }
}
