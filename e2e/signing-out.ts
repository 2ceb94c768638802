// What a user of either example goes through, in the browser: sign in, see what comes, sign out in one
// tab, and have the stream in the other end at once and for good.

import type { Browser, BrowserContext, Page, Request } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import type { Example } from "./examples.ts";
import { takePictures } from "./pictures.ts";

/** A reconnect takes up to 4 seconds, and the machine may be busy. */
const eventually = { timeout: 20_000, interval: 20 };

/** What we promise: from the click to the end of the stream. */
const CLOSED_MS_MAX = 1_000;

/** Carries one example through it all. */
export async function signInStreamSignOut(browser: Browser, example: Example, cookie: string) {
  const page = new URL(example.cookiePage, example.url).href;
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
  onTestFinished(() => context.close());
  const tab = await context.newPage();
  const streams = streamRequestsOf(context);
  await tab.goto(page);
  await tab.getByRole("button", { name: "Sign in" }).waitFor();
  await takePictures(tab, `${example.name}-sign-in`);
  await signIn(tab, "ada", "wrong");
  await expect.poll(() => tab.getByText("do not match").isVisible(), eventually).toBe(true);
  expect(streams).toEqual([]);

  await signInAt(tab, page);
  await connected(tab);
  // The cookie alone opens it: no script can read that cookie, and the URL has no credential.
  const headers = (await streams.at(-1)?.allHeaders()) ?? {};
  expect(headers.cookie).toMatch(new RegExp(`(^|; )${cookie}=`));
  expect(headers.authorization).toBeUndefined();
  expect(streams.at(-1)?.url()).not.toContain("token");
  expect(await tab.evaluate(() => document.cookie)).not.toContain(cookie);

  await sees(tab, []);
  await tab.getByLabel("Send yourself").fill("<b>Shipped</b>");
  await tab.getByRole("button", { name: "Send" }).click();
  await sees(tab, ["<b>Shipped</b>"]);
  const data = { title: "Not for Ada", sentAt: Date.now() };
  await example.tidings.publish({ user: "grace", type: "notification", data });
  data.title = "For Ada";
  await example.tidings.publish({ user: "ada", type: "notification", data });
  await sees(tab, ["For Ada", "<b>Shipped</b>"]);

  const other = await context.newPage();
  await other.goto(page);
  await connected(other);
  await sees(other, ["For Ada", "<b>Shipped</b>"]);
  await takePictures(other, `${example.name}-live`);
  const watched = await watch(other, example.tidings.url);

  await tab.bringToFront();
  const clickedAt = await clickSignOut(tab);
  await tab.getByLabel("Password").waitFor();
  await expect.poll(() => watched().then(({ brokeAt }) => brokeAt), eventually).not.toBeNull();
  const { brokeAt, said } = await watched();
  const closedMs = (brokeAt ?? Number.NaN) - clickedAt;
  process.stdout.write(`${example.name}: the stream closed ${closedMs} ms after the click\n`);
  expect(closedMs).toBeLessThan(CLOSED_MS_MAX);
  expect(said).toMatchObject({ reason: "revoked" });
  await expect.poll(() => stateOf(other), eventually).toBe("signed out");
  await takePictures(other, `${example.name}-signed-out`);

  // The watching EventSource comes back by itself, is refused, and by the standard that is its end.
  await expect.poll(() => watched().then(({ readyState }) => readyState), eventually).toBe(2);
  expect((await streams.at(-1)?.response())?.status()).toBe(401);
  expect((await watched()).opened).toBe(1);
  expect(await stateOf(other)).toBe("signed out");
  await other.reload();
  await other.getByLabel("Password").waitFor();

  // It was that session that ended, not the user.
  await signInAt(tab, page);
  await connected(tab);
  await sees(tab, ["For Ada", "<b>Shipped</b>"]);
}

/** Signs Ada in, and goes to the page, which need not be where one is led. */
async function signInAt(tab: Page, page: string): Promise<void> {
  await signIn(tab, "ada", "ada");
  await tab.getByRole("button", { name: "Sign out" }).waitFor();
  await tab.goto(page);
}

/** Fills in the form that both examples have. */
export async function signIn(tab: Page, user: string, password: string): Promise<void> {
  await tab.getByLabel("Name").fill(user);
  await tab.getByLabel("Password").fill(password);
  await tab.getByRole("button", { name: "Sign in" }).click();
}

function stateOf(tab: Page): Promise<string | null> {
  return tab.locator("#state").getAttribute("data-state", { timeout: eventually.timeout });
}

async function connected(tab: Page): Promise<void> {
  await expect.poll(() => stateOf(tab), eventually).toBe("connected");
}

async function sees(tab: Page, titles: string[]): Promise<void> {
  const shown = () => tab.locator("#notifications > li > span").allTextContents();
  await expect.poll(shown, eventually).toEqual(titles);
}

/** Clicks, and tells when the browser took the click, by the clock that all tabs share. */
async function clickSignOut(tab: Page): Promise<number> {
  const button = tab.getByRole("button", { name: "Sign out" });
  const clickedAt = button.evaluate(
    (element) =>
      new Promise<number>((resolve) => {
        element.addEventListener("click", () => resolve(Date.now()), { once: true });
      }),
  );
  await button.click({ noWaitAfter: true });
  return clickedAt;
}

interface Watched {
  opened: number;
  brokeAt: number | null;
  readyState: number;
  said: unknown;
}

/** Opens an EventSource that nobody helps, and returns what tells how it fares. */
async function watch(tab: Page, tidingsUrl: string): Promise<() => Promise<Watched>> {
  const watched = await tab.evaluateHandle(async (url) => {
    const source = new EventSource(`${url}/api/sse`, { withCredentials: true });
    const facts = {
      opened: 0,
      brokeAt: null as number | null,
      said: null as unknown,
      get readyState() {
        return source.readyState;
      },
    };
    source.addEventListener("tidings.closing", ({ data }) => {
      facts.said = JSON.parse(data);
    });
    source.addEventListener("error", () => {
      facts.brokeAt ??= Date.now();
    });
    await new Promise<void>((resolve) => {
      source.addEventListener("open", () => {
        facts.opened += 1;
        resolve();
      });
    });
    return facts;
  }, tidingsUrl);
  return () => watched.evaluate((facts) => ({ ...facts }));
}

/** The requests for a stream that the context's pages make, oldest first. */
function streamRequestsOf(context: BrowserContext): Request[] {
  const requests: Request[] = [];
  context.on("request", (request) => {
    if (new URL(request.url()).pathname === "/api/sse") requests.push(request);
  });
  return requests;
}
