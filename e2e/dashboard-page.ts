// The dashboard as an operator's browser has it: opens it, signs in, and keeps account of all that a page must not do.
// What a test looks at, it looks up itself.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { API_KEY } from "./server.ts";

export const eventually = { timeout: 20_000, interval: 50 };

export const PARTS = ["overview", "connections", "topics", "tail", "publish", "token"] as const;

export interface Opened {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Scripts that failed, dialogs that opened, and whatever the page's policy had to refuse. */
  readonly wrongs: string[];
  /** The addresses of all requests. */
  readonly requested: string[];
}

export interface Options {
  width?: number;
  colorScheme?: "light" | "dark";
  /** The key to sign in with; `null` stays at the form. */
  key?: string | null;
  part?: string;
  /** For tools that need scripts of their own in the page. */
  bypassCSP?: boolean;
}

/** Opens the dashboard below a server's address, in a browser profile of its own. */
export async function openDashboard(
  browser: Browser,
  url: string,
  options: Options = {},
): Promise<Opened> {
  const { width = 1600, colorScheme = "light", key = API_KEY, part, bypassCSP = false } = options;
  const viewport = { width, height: 1000 };
  const context = await browser.newContext({ viewport, colorScheme, bypassCSP });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const wrongs: string[] = [];
  const requested: string[] = [];
  page.on("pageerror", (error) => wrongs.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    wrongs.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => requested.push(request.url()));
  await page.exposeFunction("reportWrong", (wrong: string) => wrongs.push(wrong));
  await page.addInitScript(() => {
    const { reportWrong } = window as unknown as { reportWrong(wrong: string): void };
    document.addEventListener("securitypolicyviolation", (event) =>
      reportWrong(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  await page.goto(`${url}/admin${part ? `#/${part}` : ""}`);
  if (key !== null) await signIn(page, key);
  return { page, context, wrongs, requested };
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("Admin key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expectStatus(page, "Live");
}

export async function expectStatus(page: Page, words: string): Promise<void> {
  await expect
    .poll(() => page.locator(".status [role=status]").textContent(), eventually)
    .toBe(words);
}

/** Goes to a part as a person does, by its link. */
export async function goTo(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Parts" }).getByRole("link", { name }).click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

/** A number of the overview: of which panel, and what it is called there. */
export async function figure(page: Page, panel: string, name: string): Promise<number> {
  const text = await page
    .getByRole("region", { name: panel, exact: true })
    .locator(".figures > div", { has: page.getByText(name, { exact: true }) })
    .locator("dd")
    .textContent();
  return Number(text?.replace(/[^\d.]/g, ""));
}
