// Reads an event stream: bytes in, blocks out, by the rules of the WHATWG HTML standard for server-sent
// events, plus Tidings' own fields `topic` and `time`. It knows nothing of connections, cursors or JSON.

/**
 * Characters of one block (its unfinished line, its data and its names together) that are held at most,
 * unless the caller sets another bound. Above the server's default of 64 KiB for an event's data.
 */
export const BLOCK_CHARS_MAX: number = 1_048_576;

/** An event as the stream spells it. */
export interface ParsedEvent {
  /** The event's type; `message` when the stream named none. */
  type: string;
  /** Its data, lines joined by LF. */
  data: string;
  /** The last event id as of this event; empty when there is none. */
  lastEventId: string;
  /** The field `topic` as written: several topics are joined by commas. */
  topic?: string;
  /** The field `time`, milliseconds since the Unix epoch. */
  time?: number;
}

/** What the stream said, told as soon as the last byte of it is in. */
export interface ParserHandlers {
  /** A block with data, which is an event. */
  onEvent(event: ParsedEvent): void;
  /** A block without data has set the last event id: how a quiet stream moves its reader on. */
  onId?(lastEventId: string): void;
  /** How long to wait before reconnecting, milliseconds. */
  onRetry?(retryMs: number): void;
}

/** The state of reading one stream. A reconnect needs a new one. */
export interface Parser {
  /** Takes the next bytes. After it has thrown {@link BlockTooLargeError} it takes no more. */
  push(bytes: Uint8Array): void;
}

/** One block of the stream is larger than the reader is willing to hold. */
export class BlockTooLargeError extends Error {
  override name = "BlockTooLargeError";

  constructor(charsMax: number) {
    super(`the stream sent a block of more than ${charsMax} characters`);
  }
}

const LINE_END = /[\r\n]/g;
const DIGITS = /^[0-9]+$/;

/** A reader at the start of a stream. */
export function createParser(handlers: ParserHandlers, charsMax: number = BLOCK_CHARS_MAX): Parser {
  // Not `fatal`: a wrong byte becomes U+FFFD, and a byte order mark at the very start is dropped.
  const decoder = new TextDecoder();
  let line = "";
  let afterCr = false;
  let lastEventId = "";
  // The block that has not ended yet.
  let id: string | undefined;
  let data: string[] = [];
  let type = "";
  let topic = "";
  let time: number | undefined;
  let held = 0;

  function hold(text: string): string {
    held += text.length;
    if (held > charsMax) throw new BlockTooLargeError(charsMax);
    return text;
  }

  function endBlock(): void {
    if (id !== undefined) lastEventId = id;
    if (data.length) {
      const event: ParsedEvent = { type: type || "message", data: data.join("\n"), lastEventId };
      if (topic) event.topic = topic;
      if (time !== undefined) event.time = time;
      reset();
      handlers.onEvent(event);
    } else {
      const moved = id !== undefined;
      reset();
      if (moved) handlers.onId?.(lastEventId);
    }
  }

  function reset(): void {
    id = time = undefined;
    data = [];
    type = topic = "";
    held = 0;
  }

  function endLine(text: string): void {
    if (!text) {
      endBlock();
      return;
    }
    const colon = text.indexOf(":");
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (name === "data") data.push(hold(`${value}\n`).slice(0, -1));
    else if (name === "event") type = hold(value);
    else if (name === "id") id = value.includes("\0") ? id : hold(value);
    else if (name === "topic") topic = hold(value);
    else if (name === "time") time = DIGITS.test(value) ? Number(value) : time;
    else if (name === "retry" && DIGITS.test(value)) handlers.onRetry?.(Number(value));
  }

  return {
    push(bytes) {
      const text = decoder.decode(bytes, { stream: true });
      if (!text) return;
      let from = afterCr && text[0] === "\n" ? 1 : 0;
      afterCr = false;
      LINE_END.lastIndex = from;
      for (let end = LINE_END.exec(text); end; end = LINE_END.exec(text)) {
        const ended = line + text.slice(from, end.index);
        line = "";
        from = end.index + 1;
        if (end[0] === "\r") {
          // An LF that follows belongs to the CR; it may be in the next chunk.
          if (from === text.length) afterCr = true;
          else if (text[from] === "\n") from += 1;
        }
        endLine(ended);
        // A handler may read another stream meanwhile.
        LINE_END.lastIndex = from;
      }
      line += text.slice(from);
      if (held + line.length > charsMax) throw new BlockTooLargeError(charsMax);
    },
  };
}
