// What the pages that use the package share in the browser: how they get a token, and how what arrives is
// put to what they were rendered with.

/**
 * A token for the user that a page was rendered for. `null` when they have signed out, or somebody else has
 * signed in: then there is none to be had, and the connection ends instead of being tried again.
 */
export async function getToken(userId: string): Promise<string | null> {
  const response = await fetch(`/api/live-token?user=${encodeURIComponent(userId)}`);
  if (response.status === 401) return null;
  if (!response.ok) throw new Error(`no token: the application answered ${response.status}`);
  return response.text();
}

/** What has arrived and what was there, each once, newest first. */
export function merged<T extends { id: string }>(arrived: T[], stored: T[]): T[] {
  const known = new Set(stored.map(({ id }) => id));
  return [...arrived.filter(({ id }) => !known.has(id)), ...stored];
}

/** With one more that has arrived, unless it is there: by the stream, or by the answer to a form. */
export function withArrived<T extends { id: string }>(arrived: T[], item: T): T[] {
  return arrived.some(({ id }) => id === item.id) ? arrived : [item, ...arrived];
}
