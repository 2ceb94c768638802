// What the application's own servers import from "tidings/server". Web standards only: it runs in Node, Deno,
// Bun, and at the edge.

export { createFakeTidings, type FakeTidings } from "./fake.ts";
export {
  type Disconnected,
  type EventContent,
  type EventToPublish,
  type Published,
  type PublishResult,
  Tidings,
  type TidingsServer,
  type TidingsServerOptions,
} from "./publisher.ts";
export type { RateLimit, RateLimiter } from "./rate-limiter.ts";
export { type Problem, TidingsRequestError } from "./requests.ts";
export {
  type GenerateTokenOptions,
  generateSSEToken,
  type SSEToken,
  type TokenSecretOptions,
  verifySSEToken,
} from "./tokens.ts";
