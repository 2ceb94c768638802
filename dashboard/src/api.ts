// Asks the server with the operator's key. The key travels in a header alone, to the server that this page
// came from, and answers that are not good become one error with words for a person.

/** The server's address, with the base path that this page was found below. */
export function serverUrl(location: { origin: string; pathname: string }): string {
  return location.origin + location.pathname.replace(/\/admin(\/.*)?$/, "");
}

/** What the server said no with, or that it did not answer; then `status` is 0. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Ask {
  method?: string;
  query?: Record<string, string | number | undefined>;
  /** A body of JSON, as its text. */
  json?: string;
  /** Asks with another credential than the operator's. */
  credential?: string;
  /** Statuses whose body is an answer, beside those of success. */
  alsoGood?: number[];
  signal?: AbortSignal;
}

export type Api = <T>(path: string, ask?: Ask) => Promise<T>;

export function createApi(url: string, key: string): Api {
  return async <T>(path: string, ask: Ask = {}): Promise<T> => {
    const { method = "GET", query = {}, json, credential = key, alsoGood = [], signal } = ask;
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") search.set(name, String(value));
    }
    const headers: Record<string, string> = { Authorization: `Bearer ${credential}` };
    if (json !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = {
      method,
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      ...(json === undefined ? {} : { body: json }),
      ...(signal ? { signal } : {}),
    };
    const address = `${url}${path}${search.size ? `?${search}` : ""}`;
    let response: Response;
    try {
      response = await fetch(address, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refusal(0, "unreachable", "The server does not answer. Is it running?");
    }
    if (!response.ok && !alsoGood.includes(response.status)) throw await refusalOf(response);
    if (response.status === 204) return undefined as T;
    return (await response.json()) as T;
  };
}

async function refusalOf(response: Response): Promise<Refusal> {
  const { status } = response;
  const { code, detail, title }: { code?: string; detail?: string; title?: string } = Object(
    await response.json().catch(() => null),
  );
  return new Refusal(status, code ?? "", detail ?? title ?? `The server answered ${status}.`);
}

/** What went wrong, for a person. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
