// The dashboard for those who do not use it by eye and mouse, in both colours and both widths.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, openDashboard, PARTS, signIn } from "./dashboard-page.ts";
import { listen, publishMany } from "./dashboard-traffic.ts";
import { launchChromium } from "./reader.ts";
import { API_KEY, startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

test.each([
  [1600, "light"],
  [380, "dark"],
] as const)("has no fault that axe finds, at %i pixels and %s", async (width, colorScheme) => {
  const server = await startServer();
  await Promise.all(["ada", "grace"].map((user) => listen(server, user, ["orders/*"])));
  await publishMany(server, Array(20).fill({ topic: "orders/1", type: "t", data: { a: 1 } }));
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const options = { width, colorScheme, bypassCSP: true, key: null };
  const { page } = await openDashboard(browser, server.url, options);
  await page.evaluate(axe);
  const faults = await faultsOf(page, "sign in");
  await signIn(page, API_KEY);
  for (const part of PARTS) {
    await page.evaluate((hash) => location.assign(hash), `#/${part}`);
    await page.getByRole("heading", { level: 1, name: part }).waitFor();
    const loading = () => page.getByText("Loading", { exact: true }).count();
    await expect.poll(loading, eventually).toBe(0);
    if (part === "token") await page.getByLabel("A token").fill(tokenFor("ada", ["a/*"]));
    faults.push(...(await faultsOf(page, part)));
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(tooWide, `${part} at ${width} pixels`).toBeLessThanOrEqual(0);
  }
  expect(faults).toEqual([]);
});

test("is gone through by keyboard, and says where one is", async () => {
  const server = await startServer();
  const { page } = await openDashboard(browser, server.url);
  await page.getByRole("button", { name: "Skip to the content" }).press("Enter");
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  expect(await focused()).toBe("Overview");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  expect(await page.getByRole("radio", { name: "15 min" }).isChecked()).toBe(true);
  await page.getByRole("link", { name: "Tail" }).press("Enter");
  await expect.poll(focused, eventually).toBe("Tail");
  expect(await page.title()).toBe("Tail · Tidings");
});

/** What axe finds wrong with the page as it is. */
function faultsOf(page: Page, part: string): Promise<string[]> {
  return page.evaluate(async (part) => {
    interface Axe {
      run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }>;
    }
    const { violations } = await (window as unknown as { axe: Axe }).axe.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html }) => `${part}: ${id}: ${html}`),
    );
  }, part);
}
