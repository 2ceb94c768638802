// The example without a build step as a stranger meets it, in Chromium: two windows, one of them away for a
// while, streams that do not get through, and a server that is ended and started again.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { complaintsOf, GONE } from "./complaints.ts";
import { type Example, startPlain } from "./examples.ts";
import { takePictures } from "./pictures.ts";
import { launchChromium } from "./reader.ts";

/** The longest wait between attempts is far below this, and the machine may be busy. */
const eventually = { timeout: 30_000, interval: 20 };

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

async function newContext(): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
  onTestFinished(() => context.close());
  return context;
}

async function openWindow(context: BrowserContext, { url }: Example): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function says(page: Page, state: string | RegExp): Promise<void> {
  const said = () => page.locator("#state").textContent();
  if (typeof state === "string") await expect.poll(said, eventually).toBe(state);
  else await expect.poll(said, eventually).toMatch(state);
}

/** The rows, newest first: messages by their text, gaps as `gap`. */
async function shows(page: Page, rows: string[]): Promise<void> {
  const shown = () =>
    page
      .locator("#messages > li")
      .evaluateAll((items) =>
        items.map((item) =>
          item.className === "gap" ? "gap" : item.querySelector("span")?.textContent,
        ),
      );
  await expect.poll(shown, eventually).toEqual(rows);
}

async function publish(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Publish" }).click();
  await expect.poll(() => page.locator("#sent").textContent(), eventually).toBe("Published.");
}

test("what one window publishes both show, and what one has missed comes when it connects", async () => {
  const example = await startPlain();
  const context = await newContext();
  const complaints = complaintsOf(context);
  const one = await openWindow(context, example);
  await says(one, "Live");
  await takePictures(one, "plain-empty");
  await publish(one, "The first parcel is out");
  const two = await openWindow(context, example);
  await shows(two, ["The first parcel is out"]);
  await publish(two, "<b>Bold</b>");
  for (const page of [one, two]) await shows(page, ["<b>Bold</b>", "The first parcel is out"]);

  await two.getByRole("button", { name: "Disconnect" }).click();
  await says(two, "Disconnected");
  await publish(one, "Missed");
  await publish(one, "Missed too");
  await two.getByRole("button", { name: "Connect", exact: true }).click();
  await says(two, "Live");
  const all = ["Missed too", "Missed", "<b>Bold</b>", "The first parcel is out"];
  await shows(two, all);

  await two.getByLabel("Poll, as if").check();
  await says(two, "Live by polling");
  // Between two polls, the next of which is ten seconds away: the stream goes on from the polls' cursor.
  await publish(one, "In between");
  await two.getByLabel("Poll, as if").uncheck();
  await shows(two, ["In between", ...all]);
  await takePictures(two, "plain-live");
  expect(complaints).toEqual([]);
});

test("where no stream gets through the page polls, and says why", async () => {
  const example = await startPlain();
  const context = await newContext();
  const complaints = complaintsOf(context, [GONE]);
  await context.route("**/api/sse?*", (route) => route.abort());
  await example.tidings.publish({ topic: "board", type: "message", data: { text: "A poll" } });
  const page = await openWindow(context, example);
  await says(page, "Live by polling");
  const detail = page.locator("#detail");
  await expect.poll(() => detail.textContent(), eventually).toContain("No stream gets through");
  await shows(page, ["A poll"]);
  await publish(page, "Another");
  await shows(page, ["Another", "A poll"]);
  await takePictures(page, "plain-polling");
  expect(complaints).toEqual([]);
});

test("a server that goes away is told, and so is the gap when it is back with an empty log", async () => {
  const example = await startPlain();
  const context = await newContext();
  const complaints = complaintsOf(context, [GONE, /status of 502.*\/token/]);
  const page = await openWindow(context, example);
  await says(page, "Live");
  await publish(page, "Before");
  await shows(page, ["Before"]);

  await example.tidings.kill();
  await says(page, /^Retrying in \d+ s$/);
  await page.getByLabel("Message").fill("From the form");
  await page.getByRole("button", { name: "Publish" }).click();
  const sent = page.locator("#sent");
  await expect.poll(() => sent.textContent(), eventually).toMatch(/^Not published:/);
  expect(await page.getByLabel("Message").inputValue()).toBe("From the form");
  await takePictures(page, "plain-away");

  const again = await example.startAgain();
  // Whether the page is back by now is left to chance; it must show this either way.
  await again.publish({ topic: "board", type: "message", data: { text: "At once" } });
  await says(page, "Live");
  await shows(page, ["At once", "gap", "Before"]);
  await page.getByRole("button", { name: "Publish" }).click();
  await shows(page, ["From the form", "At once", "gap", "Before"]);
  await takePictures(page, "plain-gap");
  expect(complaints).toEqual([]);
});
