// The dashboard in Chromium against the real server: who gets in and where, and what an operator does with it.

import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  eventually,
  expectStatus,
  figure,
  goTo,
  openDashboard,
  PARTS,
  signIn,
} from "./dashboard-page.ts";
import { listen, publishMany } from "./dashboard-traffic.ts";
import { launchChromium } from "./reader.ts";
import { API_KEY, startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

/** Compressed. */
const SCRIPT_BYTES_MAX = 60_000;

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

/** All that outlives the page, or leaves it. */
function kept(page: Page) {
  return page.evaluate(() =>
    JSON.stringify([location.href, document.cookie, { ...localStorage }, { ...sessionStorage }]),
  );
}

test("lets in who has the admin key, says what is wrong with any other, and forgets it", async () => {
  const server = await startServer();
  const { page, wrongs, requested } = await openDashboard(browser, server.url, { key: null });
  const field = page.getByLabel("Admin key");
  const alert = page.getByRole("alert");
  const tries = async (key: string, answer: RegExp) => {
    await field.fill(key);
    await page.keyboard.press("Enter");
    await expect.poll(() => alert.textContent(), eventually).toMatch(answer);
    expect(await field.getAttribute("aria-invalid")).toBe("true");
  };
  await tries(`tk_${"0".repeat(64)}`, /not one of the server's/);
  await tries(tokenFor("ada", ["**"]), /needs the scope admin/);

  await signIn(page, API_KEY);
  for (const part of PARTS) {
    await page.goto(`${server.url}/admin/#/${part}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
  }
  expect(await kept(page)).not.toContain(API_KEY);
  // A reload is a new page, which knows nothing.
  await page.reload();
  await field.waitFor();

  await page.getByLabel("Stay signed in").check();
  await signIn(page, API_KEY);
  await page.reload();
  await expectStatus(page, "Live");
  const stored = await page.evaluate(() => [{ ...localStorage }, { ...sessionStorage }]);
  expect(JSON.stringify(stored[0])).not.toContain(API_KEY);
  expect(JSON.stringify(stored[1])).toContain(API_KEY);
  await page.getByRole("button", { name: "Sign out" }).click();
  await field.waitFor();
  expect(await kept(page)).not.toContain(API_KEY);
  expect(requested.filter((url) => url.includes(API_KEY))).toEqual([]);
  expect(wrongs).toEqual([]);
});

test("is below the base path on the operators' address, and nowhere else", async () => {
  const server = await startServer({
    settings: { TIDINGS_ADMIN_LISTEN: "127.0.0.1:0", TIDINGS_BASE_PATH: "/live/v1" },
  });
  expect((await fetch(`${server.url}/live/v1/admin/`)).status).toBe(404);
  const { page, wrongs } = await openDashboard(browser, `${server.adminUrl}/live/v1`);
  await goTo(page, "Publish");
  await page.getByLabel("Topic").fill("orders/1");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText(/Published as/).waitFor();
  expect(wrongs).toEqual([]);
});

test("is small, is kept by browsers, and says whose work is in it", async () => {
  const { url } = await startServer();
  const page = await (await fetch(`${url}/admin/`)).text();
  const [asset] = /assets\/index-[^"]+\.js/.exec(page) ?? [];
  const script = await fetch(`${url}/admin/${asset}`);
  expect(script.headers.get("Content-Type")).toMatch(/^text\/javascript/);
  expect(script.headers.get("Cache-Control")).toMatch(/immutable/);
  const bytes = gzipSync(Buffer.from(await script.arrayBuffer())).length;
  expect(bytes).toBeLessThan(SCRIPT_BYTES_MAX);
  const licences = await fetch(`${url}/admin/assets/licences.txt`);
  expect(await licences.text()).toMatch(/preact[\s\S]*uplot/);
  expect((await fetch(`${url}/admin/assets/..%2Findex.html`)).status).toBe(404);
});

test("says how it is connected, comes back by itself, and shows the new server's numbers", async () => {
  const first = await startServer();
  const { page, wrongs } = await openDashboard(browser, first.url);
  await first.kill();
  await expectStatus(page, "Connection lost, retrying");
  await expect.poll(() => page.locator(".countdown").textContent(), eventually).toMatch(/in \d+ s/);
  const second = await startServer({ port: first.port });
  await publishMany(second, Array(7).fill({ topic: "orders/1", data: 1 }));
  await expectStatus(page, "Live");
  await expect.poll(() => figure(page, "Events published", "since the start"), eventually).toBe(7);
  expect(wrongs).toEqual([]);
});

test("closes a connection, and revokes a user, once that was confirmed", async () => {
  const server = await startServer();
  await Promise.all(["ada", "ada", "grace"].map((user) => listen(server, user, ["orders/*"])));
  const { page, wrongs } = await openDashboard(browser, server.url, { part: "connections" });
  const rows = page.locator("tbody tr");
  await page.getByRole("textbox", { name: "User" }).fill("ada");
  await expect.poll(() => rows.count(), eventually).toBe(2);
  expect(page.url()).toContain("user=ada");

  await rows.first().getByRole("button", { name: "Close" }).click();
  const dialog = page.getByRole("dialog");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await rows.first().getByRole("button", { name: "Close" }).click();
  await dialog.getByRole("button", { name: "Close it" }).click();
  await page.getByText(/^Connection [0-9a-f]{16} was closed\.$/).waitFor();
  await expect.poll(() => rows.count(), eventually).toBe(1);

  await rows.first().getByRole("button", { name: "Revoke user ada" }).click();
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await page.getByText(/^ada was revoked: 1 stream was closed/).waitFor();
  await page.getByText("No open connection is like that.").waitFor();
  await page.getByRole("textbox", { name: "User" }).fill("");
  await page.getByLabel("Topic").fill("orders/7");
  await expect.poll(() => rows.count(), eventually).toBe(1);
  expect(await rows.first().textContent()).toContain("grace");
  expect(wrongs).toEqual([]);
});

test("tails a pattern, holds it still, looks for a text, and publishes", async () => {
  const server = await startServer();
  await publishMany(server, [
    { topic: "orders/1", type: "shipped", data: { carrier: "post" } },
    { topic: "other", data: "not asked for" },
  ]);
  const { page, wrongs } = await openDashboard(browser, server.url, {
    part: "tail?topic=orders/**&from=all",
  });
  const rows = page.locator(".events li");
  const shown = () => page.locator(".events pre").allTextContents();
  await expect.poll(shown, eventually).toEqual(['{"carrier":"post"}']);
  expect(await rows.first().textContent()).toMatch(/\d\d:\d\d:\d\d\.\d{3}orders\/1shipped/);

  await page.getByRole("button", { name: "Pause" }).click();
  await publishMany(server, [{ topic: "orders/2", text: "a needle" }, { topic: "orders/3" }]);
  await page.getByRole("button", { name: "Go on (2 new)" }).waitFor();
  expect(await rows.count()).toBe(1);
  await page.getByRole("button", { name: "Go on (2 new)" }).click();
  await expect.poll(shown, eventually).toEqual(["null", "a needle", '{"carrier":"post"}']);
  await page.getByPlaceholder("Show only what contains").fill("NEEDLE");
  await expect.poll(shown, eventually).toEqual(["a needle"]);

  await goTo(page, "Publish");
  await page.getByLabel("Topic").fill("a//b");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText(/is no topic/).waitFor();
  await page.getByLabel("Topic").fill("orders/9");
  await page.getByLabel("Type").fill("typed");
  await page.getByLabel("Data").fill("{ no json");
  await page.getByText(/This is no JSON/).waitFor();
  expect(await page.getByRole("button", { name: "Publish" }).isDisabled()).toBe(true);
  await page.getByRole("radio", { name: "Text" }).check();
  await page.getByLabel("Data").press("Control+Enter");
  await page.getByText(/^Published as [0-9a-z]{8}-\d+, kept in memory/).waitFor();
  await page.getByRole("link", { name: "Watch this topic" }).click();
  await expect.poll(shown, eventually).toEqual(["{ no json"]);
  expect(wrongs).toEqual([]);
});

test("takes a token apart without sending it, and asks the server only when told to", async () => {
  const server = await startServer();
  const { page, wrongs, requested } = await openDashboard(browser, server.url, { part: "token" });
  const token = tokenFor("ada", ["orders/*"]);
  const sent: string[] = [];
  page.on("request", (request) => sent.push(JSON.stringify(request.headers())));
  await page.getByLabel("A token").fill(token);
  await page.getByText(/It expires in 9 min|It expires in 10 min/).waitFor();
  expect(await page.locator(".values").first().textContent()).toContain("orders/*");
  expect([...sent, ...requested].filter((text) => text.includes(token))).toEqual([]);

  await page.getByRole("button", { name: "Ask the server" }).click();
  await page.getByText("The server takes it: it is ada's.").waitFor();
  await page.getByLabel("A token").fill(`${token.slice(0, -4)}AAAA`);
  await page.getByRole("button", { name: "Ask the server" }).click();
  await expect.poll(() => page.locator(".buttons [role=status]").textContent()).toMatch(/token/i);
  expect(requested.filter((text) => text.includes(token.slice(0, -4)))).toEqual([]);
  expect(wrongs).toEqual([]);
});
