// `EventSource` as the WHATWG HTML standard has it, on `fetch`. It adds request headers and a `fetch` of the
// caller's, and nothing else: no backoff, no token, no notion of a silent stream. Those are the client's.

import { createParser, type Parser } from "./parser.ts";

export {
  BLOCK_CHARS_MAX,
  BlockTooLargeError,
  createParser,
  type ParsedEvent,
  type Parser,
  type ParserHandlers,
} from "./parser.ts";

/** What `new EventSource(url, init)` takes beside the standard's `withCredentials`. */
export interface EventSourceInit {
  /** Sends cookies to other origins too. */
  withCredentials?: boolean;
  /** Headers of every request. `Accept`, `Cache-Control` and `Last-Event-ID` are the standard's own. */
  headers?: HeadersInit;
  /** Used in place of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** What `onopen` and the like take. */
export type EventSourceHandler<E extends Event> = ((this: EventSource, event: E) => unknown) | null;

/** Wait before reconnecting until the stream says `retry:`; the standard leaves it to us. */
const RECONNECTION_MS_DEFAULT = 3_000;

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/** Section 9.2 of the standard, <https://html.spec.whatwg.org/multipage/server-sent-events.html>. */
export class EventSource extends EventTarget {
  static readonly CONNECTING: 0 = CONNECTING;
  static readonly OPEN: 1 = OPEN;
  static readonly CLOSED: 2 = CLOSED;
  readonly CONNECTING: 0 = CONNECTING;
  readonly OPEN: 1 = OPEN;
  readonly CLOSED: 2 = CLOSED;

  /** The absolute URL. */
  readonly url: string;
  /** Whether cookies are sent to other origins too. */
  readonly withCredentials: boolean;

  #readyState: 0 | 1 | 2 = CONNECTING;
  #lastEventId = "";
  #reconnectionMs: number = RECONNECTION_MS_DEFAULT;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #headers: Headers;
  readonly #fetch: typeof globalThis.fetch;
  readonly #abort = new AbortController();
  readonly #on = new Map<
    string,
    { handler: EventSourceHandler<never>; listener: (event: Event) => void }
  >();

  constructor(url: string | URL, init: EventSourceInit = {}) {
    super();
    this.url = absolute(url);
    this.withCredentials = init.withCredentials ?? false;
    this.#headers = new Headers(init.headers);
    // Called as a plain function: a browser's own `fetch` refuses to be a method of ours.
    const given = init.fetch;
    this.#fetch = (input, options) => (given ?? globalThis.fetch)(input, options);
    void this.#connect();
  }

  /** `CONNECTING`, `OPEN` or `CLOSED`. */
  get readyState(): 0 | 1 | 2 {
    return this.#readyState;
  }

  /** Is called when a stream has begun. */
  get onopen(): EventSourceHandler<Event> {
    return this.#handler("open");
  }
  set onopen(handler: EventSourceHandler<Event>) {
    this.#setHandler("open", handler);
  }

  /** Is called with each event without a type of its own. */
  get onmessage(): EventSourceHandler<MessageEvent> {
    return this.#handler("message");
  }
  set onmessage(handler: EventSourceHandler<MessageEvent>) {
    this.#setHandler("message", handler);
  }

  /** Is called when a stream was lost, and when it has failed for good: then `readyState` is `CLOSED`. */
  get onerror(): EventSourceHandler<Event> {
    return this.#handler("error");
  }
  set onerror(handler: EventSourceHandler<Event>) {
    this.#setHandler("error", handler);
  }

  /** Ends the connection. Nothing is dispatched after this. */
  close(): void {
    this.#readyState = CLOSED;
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #connect(): Promise<void> {
    let response: Response;
    // Only what the network does is worth another try; a URL or header that `fetch` cannot take is not.
    try {
      const headers = new Headers(this.#headers);
      headers.set("Accept", "text/event-stream");
      if (this.#lastEventId) headers.set("Last-Event-ID", utf8(this.#lastEventId));
      response = await this.#fetch(this.url, {
        headers,
        cache: "no-store",
        credentials: this.withCredentials ? "include" : "same-origin",
        signal: this.#abort.signal,
      });
    } catch {
      return this.#reestablish();
    }
    if (this.#readyState === CLOSED) return;
    if (response.status !== 200 || !isEventStream(response) || !response.body) {
      void response.body?.cancel().catch(() => undefined);
      return this.#fail();
    }
    this.#readyState = OPEN;
    this.dispatchEvent(new Event("open"));
    await this.#read(response.body, originOf(response.url || this.url));
    this.#reestablish();
  }

  async #read(body: ReadableStream<Uint8Array>, origin: string): Promise<void> {
    const parser: Parser = createParser({
      onEvent: ({ type, data, lastEventId }) => {
        this.#lastEventId = lastEventId;
        // An event that was read is not dispatched once a handler before it has closed the source.
        if (this.#readyState === CLOSED) return;
        this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
      },
      onId: (lastEventId) => {
        this.#lastEventId = lastEventId;
      },
      onRetry: (retryMs) => {
        this.#reconnectionMs = retryMs;
      },
    });
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#readyState === CLOSED) return;
        parser.push(value);
      }
    } catch {
      // The connection broke, or a block was too large to hold: either way this stream is over.
    } finally {
      void reader.cancel().catch(() => undefined);
    }
  }

  #reestablish(): void {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CONNECTING;
    this.dispatchEvent(new Event("error"));
    // A handler of that error may have closed the source; the compiler cannot know.
    if ((this.#readyState as number) === CLOSED) return;
    this.#timer = setTimeout(() => void this.#connect(), this.#reconnectionMs);
  }

  #fail(): void {
    this.#readyState = CLOSED;
    this.dispatchEvent(new Event("error"));
  }

  #handler<E extends Event>(type: string): EventSourceHandler<E> {
    return (this.#on.get(type)?.handler ?? null) as EventSourceHandler<E>;
  }

  #setHandler<E extends Event>(type: string, handler: EventSourceHandler<E>): void {
    const entry = this.#on.get(type);
    // A handler that replaces another keeps its place in the order, as the standard has it.
    if (entry && typeof handler === "function") {
      entry.handler = handler as EventSourceHandler<never>;
    } else if (entry) {
      this.removeEventListener(type, entry.listener);
      this.#on.delete(type);
    } else if (typeof handler === "function") {
      const added = {
        handler: handler as EventSourceHandler<never>,
        listener: (event: Event) => void added.handler?.call(this, event as never),
      };
      this.#on.set(type, added);
      this.addEventListener(type, added.listener);
    }
  }
}

function absolute(url: string | URL): string {
  const base = (globalThis as { document?: { baseURI?: string } }).document?.baseURI;
  try {
    return new URL(url, base).href;
  } catch {
    throw new DOMException(`'${url}' is not a URL that can be resolved`, "SyntaxError");
  }
}

function originOf(url: string): string {
  return new URL(url).origin;
}

function isEventStream(response: Response): boolean {
  const [essence = ""] = (response.headers.get("Content-Type") ?? "").split(";");
  return essence.trim().toLowerCase() === "text/event-stream";
}

/** The text's UTF-8 bytes, each as one character: what the standard sends, in the form `fetch` takes. */
function utf8(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
