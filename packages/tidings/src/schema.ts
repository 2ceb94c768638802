// `withSchemas`: events whose data is checked, and typed, by schemas of any library that follows Standard Schema.
// A function of its own, so that only who uses it loads it. Knows no connection and no library.

import type { StandardSchemaV1 } from "./standard-schema.ts";
import type { TidingsEvent, Validate } from "./types.ts";

/** Schemas by event type. */
export type EventSchemas = Readonly<Record<string, StandardSchemaV1>>;

/** The data that handlers get, by event type: what the schemas make of it. */
export type EventsOf<Schemas extends EventSchemas> = {
  -readonly [Type in keyof Schemas]: StandardSchemaV1.InferOutput<Schemas[Type]>;
};

/** What `withSchemas` can be told beside the schemas. */
export interface SchemaOptions {
  /** Is told of an event that is not valid, in place of its handlers. Without it, an `InvalidEventError` is thrown. */
  onInvalid?(event: TidingsEvent, issues: readonly StandardSchemaV1.Issue[]): void;
}

/** The data of an event does not have the shape that the schema of its type asks for. */
export class InvalidEventError extends Error {
  override name = "InvalidEventError";
  /** The event as it came. */
  readonly event: TidingsEvent;
  /** What is wrong with its data, in the words of the schema's library. */
  readonly issues: readonly StandardSchemaV1.Issue[];

  constructor(event: TidingsEvent, issues: readonly StandardSchemaV1.Issue[]) {
    super(`the data of event ${event.id} (${event.type}) is not valid: ${words(issues)}`);
    this.event = event;
    this.issues = issues;
  }
}

/**
 * For the option `validate`: handlers get what the schema of the event's type makes of its data, and are not called
 * where it is not valid. Events of a type without a schema pass as they are.
 */
export function withSchemas<const Schemas extends EventSchemas>(
  schemas: Schemas,
  { onInvalid }: SchemaOptions = {},
): Validate<EventsOf<Schemas>> {
  return async (event) => {
    // Its own only: a type may have the name of something that every object has.
    const schema = Object.hasOwn(schemas, event.type) ? schemas[event.type] : undefined;
    if (!schema) return event;
    const result = await schema["~standard"].validate(event.data);
    if (!result.issues) return { ...event, data: result.value };
    if (!onInvalid) throw new InvalidEventError(event, result.issues);
    onInvalid(event, result.issues);
    return undefined;
  };
}

function words(issues: readonly StandardSchemaV1.Issue[]): string {
  return issues
    .map(({ message, path = [] }) => {
      const steps = path.map((step) => String(typeof step === "object" ? step.key : step));
      return steps.length ? `${steps.join(".")}: ${message}` : message;
    })
    .join("; ");
}
