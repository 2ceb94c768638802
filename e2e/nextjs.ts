// What users of the Next.js example go through on the pages that use the npm package: two of them, each in a
// browser of their own, with a token from the application.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { complaintsOf, GONE } from "./complaints.ts";
import type { Example } from "./examples.ts";
import { takePictures } from "./pictures.ts";
import { signIn } from "./signing-out.ts";

/** A poll comes ten seconds after the last one, and the machine may be busy. */
const eventually = { timeout: 30_000, interval: 20 };

/** After signing out a page asks for a token, is told that there is none, and tries without. */
const SIGNED_OUT = /status of 401.*\/api\/(live-token|sse)\b/;

interface Visitor {
  tab: Page;
  context: BrowserContext;
  complaints: string[];
}

async function visit(browser: Browser, example: Example, user: string): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
  onTestFinished(() => context.close());
  const complaints = complaintsOf(context, [GONE, SIGNED_OUT, /status of 429.*\/api\/comments/]);
  const tab = await context.newPage();
  await tab.goto(example.url);
  await signIn(tab, user, user);
  await says(tab, "Live");
  return { tab, context, complaints };
}

async function says(tab: Page, state: string | RegExp): Promise<void> {
  const said = () => tab.locator("#state").textContent();
  if (typeof state === "string") await expect.poll(said, eventually).toBe(state);
  else await expect.poll(said, eventually).toMatch(state);
}

async function lists(tab: Page, list: string, texts: string[]): Promise<void> {
  const shown = () => tab.locator(`#${list} > li > span`).allTextContents();
  await expect.poll(shown, eventually).toEqual(texts);
}

/** What a definition list says of one of its terms. */
function fact(tab: Page, term: string) {
  const text = tab.locator("dt", { hasText: new RegExp(`^${term}$`) }).locator("+ dd");
  return expect.poll(() => text.textContent(), eventually);
}

async function send(tab: Page, title: string, to: string, outcome: RegExp): Promise<void> {
  await tab.getByLabel("Notification").fill(title);
  await tab.getByLabel("To").selectOption({ label: to });
  await tab.getByRole("button", { name: "Send" }).click();
  await expect.poll(() => tab.locator(".outcome").textContent(), eventually).toMatch(outcome);
}

/** Notifications to one and to all, a restart of Tidings between them, and a sign-out. */
export async function notifyAndRecover(browser: Browser, example: Example): Promise<void> {
  const ada = await visit(browser, example, "ada");
  await lists(ada.tab, "notifications", []);
  const grace = await visit(browser, example, "grace");
  await send(ada.tab, "For Grace", "Grace", /^Sent\.$/);
  await lists(grace.tab, "notifications", ["For Grace"]);
  await fact(grace.tab, "Topic").toBe("user/grace");
  await send(grace.tab, "<b>For all</b>", "Everyone", /^Sent\.$/);
  await lists(ada.tab, "notifications", ["<b>For all</b>"]);
  await lists(grace.tab, "notifications", ["<b>For all</b>", "For Grace"]);
  await fact(ada.tab, "Topic").toBe("broadcast");
  await takePictures(grace.tab, "nextjs-live");

  await example.tidings.kill();
  for (const { tab } of [ada, grace]) await says(tab, /^Retrying in \d+ s$/);
  await send(ada.tab, "While it was away", "Grace", /^Kept, but not live/);
  await takePictures(ada.tab, "nextjs-away");
  await example.startAgain();
  for (const { tab } of [ada, grace]) await says(tab, "Live");
  const all = ["While it was away", "<b>For all</b>", "For Grace"];
  await lists(grace.tab, "notifications", all);
  const gap = grace.tab.getByText("fetched anew after a gap");
  await expect.poll(() => gap.isVisible(), eventually).toBe(true);
  await send(ada.tab, "Afterwards", "Grace", /^Sent\.$/);
  await lists(grace.tab, "notifications", ["Afterwards", ...all]);
  await lists(ada.tab, "notifications", ["<b>For all</b>"]);
  await takePictures(grace.tab, "nextjs-gap");

  const other = await grace.context.newPage();
  await other.goto(example.url);
  await says(other, "Live");
  await lists(other, "notifications", ["Afterwards", ...all]);
  await other.getByRole("button", { name: "Sign out" }).click();
  await says(grace.tab, "Signed out");
  await takePictures(grace.tab, "nextjs-token-signed-out");
  expect(await ada.tab.locator("#state").textContent()).toBe("Live");
  for (const { complaints } of [ada, grace]) expect(complaints).toEqual([]);
}

/** Comments until there are too many, and what polls show meanwhile. */
export async function commentAndPoll(browser: Browser, example: Example): Promise<void> {
  const ada = await visit(browser, example, "ada");
  const grace = await visit(browser, example, "grace");
  await send(ada.tab, "Before", "Ada", /^Sent\.$/);
  const polling = await ada.context.newPage();
  await polling.goto(`${example.url}/polling`);
  await says(polling, "Live by polling");
  await lists(polling, "updates", ["Before"]);
  await fact(polling, "isPolling").toBe("true");
  await fact(polling, "error").toBe("null");
  // The next poll is seconds away.
  await send(ada.tab, "Between two polls", "Ada", /^Sent\.$/);

  for (const { tab } of [ada, grace]) {
    await tab.getByRole("link", { name: "Comments" }).click();
    await tab.getByRole("heading", { name: "Comments" }).waitFor();
    await says(tab, "Live");
    await fact(tab, "isConnected").toBe("true");
    await fact(tab, "updateMethod").toBe("sse");
  }
  await comment(ada.tab, "One");
  await lists(ada.tab, "comments", ["One"]);
  // Without the form, so that the sixth comes well before the first is a minute old.
  for (const text of ["Two", "Three", "Four", "Five"]) {
    const answer = await ada.context.request.post(`${example.url}/api/comments`, {
      headers: { "Content-Type": "application/json" },
      data: { text },
    });
    expect(answer.status()).toBe(201);
  }
  const texts = ["Five", "Four", "Three", "Two", "One"];
  for (const { tab } of [ada, grace]) await lists(tab, "comments", texts);
  await comment(ada.tab, "Six");
  const status = ada.tab.locator(".outcome");
  await expect
    .poll(() => status.textContent(), eventually)
    .toMatch(/^Too many\. Try again in \d+ s\.$/);
  expect(await ada.tab.getByRole("button", { name: "Write" }).isDisabled()).toBe(true);
  expect(await ada.tab.getByRole("textbox", { name: "Comment" }).inputValue()).toBe("Six");
  await takePictures(ada.tab, "nextjs-too-many");
  // The limit is each user's own.
  await comment(grace.tab, "From Grace");
  for (const { tab } of [ada, grace]) await lists(tab, "comments", ["From Grace", ...texts]);

  await lists(polling, "updates", ["Between two polls", "Before"]);
  await takePictures(polling, "nextjs-polling");
  for (const { complaints } of [ada, grace]) expect(complaints).toEqual([]);
}

async function comment(tab: Page, text: string): Promise<void> {
  await tab.getByRole("textbox", { name: "Comment" }).fill(text);
  await tab.getByRole("button", { name: "Write" }).click();
}
