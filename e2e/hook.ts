// The page with the hook, behind a proxy and before the real server, and what the hook returned there in a few
// words. It knows how a row begins and ends; what happens to the page in between is the tests' business.

import type { Browser, Page } from "playwright-core";
import type { TidingsOptions, Timing } from "tidings";
import { afterAll, beforeAll, expect, inject, onTestFinished } from "vitest";
import type { Returned } from "./package-page.ts";
import { type CuttingProxy, startProxy } from "./proxy.ts";
import { launchChromium, type Site, startSite } from "./reader.ts";
import { type Server, startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

export const eventually = { timeout: 20_000, interval: 20 };

/** The requests for streams, by their first lines. */
export const STREAMS = /^GET \/api\/sse/;

/** The topic that the page listens to. */
const TOPIC = "orders/1";

/** The protocol's waits, shortened. A connection may take as long as a busy machine needs. */
const TIMING: Partial<Timing> = {
  backoffMinMs: 20,
  backoffMaxMs: 250,
  stableMs: 500,
  waitSecs: 2,
  pollIntervalMs: 100,
};

/** What a person sees: nothing yet, events by a stream or by polls, attempts to go on, a rest, or the end. */
type Phase = "loading" | "sse" | "polling" | "waiting" | "paused" | "closed";

export interface HookOptions extends Omit<TidingsOptions, "token" | "validate"> {
  /** Called in the test, for the page. */
  getToken?: () => string;
  /** Settings of the server. */
  settings?: Record<string, string>;
  /** Requests that the proxy holds from the beginning. */
  hold?: RegExp;
}

export interface Hook {
  readonly page: Page;
  readonly proxy: CuttingProxy;
  readonly server: Server;
  /** The data of events, and gaps by their reason. */
  seen(): Promise<unknown[]>;
  /** Waits until exactly these were seen. */
  sees(...seen: unknown[]): Promise<void>;
  returned(): Promise<Returned[]>;
  /** What it returned last. */
  last(): Promise<Returned | undefined>;
  /** The phases it went through, without repeats: `loading → sse`. */
  phases(): Promise<string>;
  /** Waits until the last of the phases is this one. */
  until(phase: Phase): Promise<void>;
  /** The errors it told, without repeats. */
  errors(): Promise<string[]>;
  lastUpdateMs(): Promise<number | undefined>;
  reconnect(): Promise<void>;
}

export interface Hooks {
  readonly browser: () => Browser;
  readonly origin: () => string;
  /** Starts a server, and opens the page. */
  open(options?: HookOptions): Promise<Hook>;
}

/** A browser and a site for the tests of a file. */
export function prepareHooks(): Hooks {
  let browser: Browser;
  let site: Site;
  beforeAll(async () => {
    browser = await launchChromium();
    site = await startSite(inject("packagePage"));
  });
  afterAll(async () => {
    await browser?.close();
    site?.close();
  });
  return {
    browser: () => browser,
    origin: () => site.origin,
    open: (options) => open(browser, site.origin, options),
  };
}

export function token(claims: object = {}): string {
  return tokenFor("ada", [TOPIC], claims);
}

export async function publish(server: Server, ...data: unknown[]): Promise<void> {
  for (const one of data) await server.publish({ topic: TOPIC, data: one });
}

/** The page has a stream, and the event 1. */
export async function begin(hook: Hook): Promise<void> {
  await hook.until("sse");
  await publish(hook.server, 1);
  await hook.sees(1);
}

/** The page has a stream again; 2 and 3 were published meanwhile, and 4 now: nothing was lost or doubled. */
export async function end(hook: Hook): Promise<void> {
  await hook.until("sse");
  await publish(hook.server, 4);
  await hook.sees(1, 2, 3, 4);
}

async function open(browser: Browser, origin: string, options: HookOptions = {}): Promise<Hook> {
  const { getToken = token, settings = {}, hold, ...given } = options;
  const server = await startServer({ origins: [origin], settings });
  const proxy = await startProxy(server.port);
  if (hold) proxy.hold(hold);
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  await page.exposeFunction("getToken", () => getToken());
  await page.goto(origin);
  await page.evaluate((options) => window.page.mount(options), {
    url: proxy.url,
    topics: [TOPIC],
    ...given,
    timing: { ...TIMING, ...given.timing },
  });
  const seen = () => page.evaluate(() => window.mounted.seen);
  const returned = () => page.evaluate(() => window.mounted.returned);
  const phases = async () => (await returned()).map(phaseOf).filter(isChange);
  return {
    page,
    proxy,
    server,
    seen,
    sees: (...wanted) => expect.poll(seen, eventually).toEqual(wanted),
    returned,
    last: async () => (await returned()).at(-1),
    phases: async () => (await phases()).join(" → "),
    until: (phase) => expect.poll(async () => (await phases()).at(-1), eventually).toBe(phase),
    errors: async () =>
      (await returned())
        .flatMap(({ error }) => (error ? [`${error.kind} ${error.code ?? ""}`.trim()] : []))
        .filter(isChange),
    lastUpdateMs: () => page.evaluate(() => window.mounted.lastUpdateMs),
    reconnect: () => page.evaluate(() => window.mounted.reconnect()),
  };
}

function isChange<T>(one: T, index: number, all: T[]): boolean {
  return one !== all[index - 1];
}

/** The phase, after a check that the parts of what was returned agree with each other. */
function phaseOf(returned: Returned): Phase {
  const { status, isLoading, error } = returned;
  const method = { open: "sse", polling: "polling" }[status as string] ?? null;
  expect(returned).toMatchObject({ updateMethod: method, isConnected: method !== null });
  if (isLoading) {
    expect(returned).toMatchObject({ error: null, isConnected: false });
    expect(["idle", "connecting"]).toContain(status);
    return "loading";
  }
  switch (status) {
    case "open":
      expect(error).toBeNull();
      return "sse";
    case "polling":
    case "paused":
    case "closed":
      return status;
    default:
      // Whoever waits is told why.
      expect(error).not.toBeNull();
      return "waiting";
  }
}
