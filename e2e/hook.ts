// The page with the hook, opened behind a proxy, and what the hook returned there in a few words. It knows how
// a row of a test goes: publish, disturb, wait, compare. The disturbing is the test's.

import type { Browser, Page } from "playwright-core";
import type { TidingsOptions, Timing } from "tidings";
import { expect, onTestFinished } from "vitest";
import type { Returned } from "./package-page.ts";
import { type CuttingProxy, startProxy } from "./proxy.ts";
import type { Server } from "./server.ts";
import { tokenFor } from "./token.ts";

export const eventually = { timeout: 20_000, interval: 20 };

/** The protocol's waits, shortened. A connection may take as long as a busy machine needs. */
const TIMING: Partial<Timing> = {
  backoffMinMs: 20,
  backoffMaxMs: 250,
  stableMs: 500,
  waitSecs: 2,
  pollIntervalMs: 100,
};

/**
 * What a person sees: nothing yet, events by a stream or by polls, the last word of an error and attempts to go
 * on, or the end.
 */
export type Phase = "loading" | "sse" | "polling" | "waiting" | "paused" | "closed";

export interface Hook {
  readonly page: Page;
  readonly proxy: CuttingProxy;
  /** The data of events, and gaps by their reason. */
  seen(): Promise<unknown[]>;
  returned(): Promise<Returned[]>;
  /** The phases it went through, without repeats: `loading → sse`. */
  phases(): Promise<string>;
  /** The errors it told, without repeats. */
  errors(): Promise<string[]>;
  /** Waits until the last of the phases is this one. */
  until(phase: Phase): Promise<void>;
  lastUpdateMs(): Promise<number | undefined>;
  reconnect(): Promise<void>;
}

export interface HookOptions extends Omit<TidingsOptions, "token"> {
  /** Called in the test, for the page. */
  getToken?: () => string | null | Promise<string | null>;
  token?: string;
}

/** The topic that the page listens to. */
export const TOPIC = "orders/1";

export function token(claims: object = {}): string {
  return tokenFor("ada", [TOPIC], claims);
}

/** Opens the page, and waits for nothing. */
export async function openHook(
  browser: Browser,
  origin: string,
  server: Server,
  { getToken = token, ...options }: HookOptions = {},
  before?: (proxy: CuttingProxy) => void,
): Promise<Hook> {
  const proxy = await startProxy(server.port);
  before?.(proxy);
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  await page.exposeFunction("getToken", () => getToken());
  await page.goto(origin);
  const timing = { ...TIMING, ...options.timing };
  await page.evaluate((options) => window.page.mount(options), {
    url: proxy.url,
    topics: [TOPIC],
    ...options,
    timing,
  });
  const returned = () => page.evaluate(() => window.mounted.returned);
  const phases = async () => (await returned()).map(phaseOf).filter(isChange);
  return {
    page,
    proxy,
    seen: () => page.evaluate(() => window.mounted.seen),
    returned,
    phases: async () => (await phases()).join(" → "),
    errors: async () =>
      (await returned())
        .flatMap(({ error }) => (error ? [`${error.kind} ${error.code ?? ""}`.trim()] : []))
        .filter(isChange),
    until: (phase) => expect.poll(async () => (await phases()).at(-1), eventually).toBe(phase),
    lastUpdateMs: () => page.evaluate(() => window.mounted.lastUpdateMs),
    reconnect: () => page.evaluate(() => window.mounted.reconnect()),
  };
}

function isChange<T>(one: T, index: number, all: T[]): boolean {
  return one !== all[index - 1];
}

/** The phase, after a check that the parts of what was returned agree with each other. */
function phaseOf(returned: Returned): Phase {
  const { status, updateMethod, isConnected, isLoading, error } = returned;
  expect({ ...returned, isConnected: updateMethod !== null }).toEqual(returned);
  if (isLoading) {
    expect([updateMethod, error, ["idle", "connecting"].includes(status)]).toEqual([
      null,
      null,
      true,
    ]);
    return "loading";
  }
  switch (status) {
    case "open":
      expect([updateMethod, error]).toEqual(["sse", null]);
      return "sse";
    case "polling":
      expect([updateMethod, isConnected]).toEqual(["polling", true]);
      return "polling";
    case "paused":
    case "closed":
      return status;
    default:
      expect(error).not.toBeNull();
      return "waiting";
  }
}
