// Signs tokens as an application would, by nothing but node:crypto: what the server accepts here, it
// accepts from any JWT library.

import { createHmac, randomBytes, randomUUID } from "node:crypto";

export const TOKEN_SECRET = randomBytes(32).toString("hex");

const LIFE_SECS = 600;

/** A token for a user, with the patterns that the user may subscribe to, and other claims. */
export function tokenFor(user: string, subscribe: string[], more: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: "HS256", typ: "tidings+jwt" };
  const claims = {
    aud: "tidings",
    sub: user,
    iat: now,
    exp: now + LIFE_SECS,
    jti: randomUUID(),
    subscribe,
    ...more,
  };
  const signed = [header, claims].map((part) => base64url(JSON.stringify(part))).join(".");
  const signature = createHmac("sha256", TOKEN_SECRET).update(signed).digest("base64url");
  return `${signed}.${signature}`;
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

/** The URL of a live stream of these topics, for a user who may read them. */
export function streamUrl(origin: string, ...topics: string[]): string {
  const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  query.set("token", tokenFor("ada", topics));
  return `${origin}/api/sse?${query}`;
}
