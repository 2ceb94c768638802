// What the pages of a test complain of: errors in the console and what nobody caught. A browser also logs
// every answer that is an error and every request that fails; a test names those that it has caused.

import type { BrowserContext } from "playwright-core";

/** Collects from all pages of the context, except what matches one of the patterns. */
export function complaintsOf(context: BrowserContext, expected: RegExp[] = []): string[] {
  const complaints: string[] = [];
  const add = (text: string) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.push(text);
  };
  context.on("console", (message) => {
    if (message.type() === "error") add(`${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => add(String(error.error())));
  return complaints;
}

/** A request to Tidings that got no answer: it was not there, or something stood between. */
export const GONE = /net::ERR_\w+ \(http:\/\/localhost:\d+\/api\/(sse|polling|events)\b/;
