// The package's main entry: what an application imports from "tidings".

export { createEventCache, type EventCache, type EventCacheOptions } from "./cache.ts";
export { createTidings, TidingsError } from "./client.ts";
export {
  type EventSchemas,
  type EventsOf,
  InvalidEventError,
  type SchemaOptions,
  withSchemas,
} from "./schema.ts";
export type { StandardSchemaV1 } from "./standard-schema.ts";
export type {
  ChannelSource,
  Environment,
  EventHandler,
  EventMap,
  Failure,
  Gap,
  LockSource,
  PageSource,
  State,
  TextStorage,
  Tidings,
  TidingsEvent,
  TidingsOptions,
  Timing,
  TokenFunction,
  Transport,
  Validate,
} from "./types.ts";
