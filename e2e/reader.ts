// What the tests ask of every foreign EventSource: all it was sent, in order. And the two we have: the one
// in headless Chromium, and Node's `eventsource` package.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { EventSource as NodeEventSource } from "eventsource";
import { type Browser, chromium } from "playwright-core";
import { onTestFinished } from "vitest";

/** An event as an EventSource shows it. */
export interface Received {
  type: string;
  id: string;
  data: string;
}

/** An open EventSource; `received` grows as events arrive. */
export type Reader = (url: string) => Promise<Received[]>;

const TYPES = ["message", "notification", "tidings.connected", "tidings.gap", "tidings.closing"];

/** The application's own events among those received. */
export function eventsOf(received: Received[]): Received[] {
  return received.filter(({ type }) => !type.startsWith("tidings."));
}

/** What the hub said of the stream itself: the JSON of its events of one type. */
export function saidBy<T>(received: Received[], type: string): T[] {
  return received.filter((event) => event.type === type).map(({ data }) => JSON.parse(data) as T);
}

export const CHROMIUM = process.env.TIDINGS_CHROMIUM ?? "/usr/bin/chromium";

export const CHROMIUM_ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the browser. The caller closes it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    // Pages are kept for the back button, as in everybody's browser.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    executablePath: CHROMIUM,
    args: CHROMIUM_ARGUMENTS,
  });
}

export interface Site {
  origin: string;
  close(): void;
}

/** A site of its own with one page, so that what the browser reads, it reads across origins. */
export async function startSite(html = "<!doctype html><title>A site</title>"): Promise<Site> {
  const site = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html; charset=utf-8").end(html);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  return {
    origin,
    close: () => {
      site.close();
      site.closeAllConnections();
    },
  };
}

/** Reads with the browser's own EventSource, on a page of the given origin. */
export function browserReader(browser: Browser, origin: string): Reader {
  return async (url) => {
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    const received: Received[] = [];
    await page.exposeFunction("report", (event: Received) => received.push(event));
    await page.goto(origin);
    await page.evaluate(
      ({ url, types }) => {
        const { report } = window as unknown as { report(event: Received): void };
        const source = new EventSource(url);
        for (const type of types) {
          source.addEventListener(type, ({ data, lastEventId }) => {
            report({ type, data, id: lastEventId });
          });
        }
      },
      { url, types: TYPES },
    );
    return received;
  };
}

/** Reads with Node's `eventsource` package. */
export const nodeReader: Reader = async (url) => {
  const received: Received[] = [];
  const source = new NodeEventSource(url);
  onTestFinished(() => source.close());
  for (const type of TYPES) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      received.push({ type, data, id: lastEventId });
    });
  }
  return received;
};
