// What goes on at a server while its dashboard is looked at: streams of users that are read and forgotten, and batches of
// events. It knows nothing of the dashboard.

import { get } from "node:http";
import { expect, onTestFinished } from "vitest";
import { API_KEY, type Server } from "./server.ts";
import { tokenFor } from "./token.ts";

/** An open stream of a user, which is read and forgotten. Returns when the server has said hello. */
export function listen(
  server: Server,
  user: string,
  topics: string[],
  agent = "tests",
): Promise<void> {
  const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  const headers = { Authorization: `Bearer ${tokenFor(user, topics)}`, "User-Agent": agent };
  return new Promise((resolve, reject) => {
    const request = get(`${server.url}/api/sse?${query}`, { headers, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`a stream got ${response.statusCode}`));
      // The server may end first.
      response.on("error", () => {});
      response.once("data", () => resolve()).resume();
    });
    request.on("error", reject);
    onTestFinished(() => void request.destroy());
  });
}

/** Publishes a batch; every event of it is taken. */
export async function publishMany(server: Server, events: object[]): Promise<void> {
  const response = await fetch(`${server.url}/api/events`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify(events),
  });
  const { results } = (await response.json()) as { results: { id?: string }[] };
  expect(results.filter(({ id }) => id)).toHaveLength(events.length);
}
