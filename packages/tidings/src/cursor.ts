// A cursor's text form, `<epoch>-<position>`. Opaque to everyone but the place, which compares two positions
// of one epoch; a position may be larger than a double can hold, so it stays the text it is.

export interface Cursor {
  epoch: string;
  /** Decimal, without leading zeros. */
  position: string;
}

const SHAPE = /^([0-9a-hjkmnp-tv-z]{8})-(0|[1-9][0-9]{0,19})$/;
const POSITION_MAX = "18446744073709551615";

/** The cursor, or nothing when the text is not one: a server of another kind has ids of its own. */
export function parseCursor(text = ""): Cursor | undefined {
  const [, epoch, position] = SHAPE.exec(text) ?? [];
  if (!epoch || !position || isAfter(position, POSITION_MAX)) return undefined;
  return { epoch, position };
}

/** Whether a position lies after another. Without leading zeros the longer text is the larger number. */
export function isAfter(position: string, other: string): boolean {
  return position.length === other.length ? position > other : position.length > other.length;
}
