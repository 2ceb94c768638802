// The interface that zod, valibot, ArkType and others share: https://standardschema.dev, version 1. Copied as its
// authors recommend, so that whoever installs the package installs nothing else. Types and nothing else.

/** A schema of any library that follows Standard Schema. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": StandardSchemaV1.Props<Input, Output>;
}

export declare namespace StandardSchemaV1 {
  /** What a schema can do. */
  export interface Props<Input = unknown, Output = Input> {
    readonly version: 1;
    /** The library's name. */
    readonly vendor: string;
    /** Validates a value, now or later. */
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    /** Known to TypeScript alone. */
    readonly types?: Types<Input, Output> | undefined;
  }

  /** What came of a validation. */
  export type Result<Output> = SuccessResult<Output> | FailureResult;

  /** The value is valid. */
  export interface SuccessResult<Output> {
    readonly value: Output;
    readonly issues?: undefined;
  }

  /** The value is not valid. */
  export interface FailureResult {
    readonly issues: readonly Issue[];
  }

  /** One thing that is wrong with a value. */
  export interface Issue {
    /** For people. */
    readonly message: string;
    /** Where in the value it is. */
    readonly path?: readonly (PropertyKey | PathSegment)[] | undefined;
  }

  /** One step of the way to an issue. */
  export interface PathSegment {
    readonly key: PropertyKey;
  }

  /** What goes in, and what comes out. */
  export interface Types<Input = unknown, Output = Input> {
    readonly input: Input;
    readonly output: Output;
  }

  /** The type of a valid value, as its schema gives it. */
  export type InferOutput<Schema extends StandardSchemaV1> = NonNullable<
    Schema["~standard"]["types"]
  >["output"];
}
