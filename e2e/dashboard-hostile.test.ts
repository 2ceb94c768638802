// Whatever anybody publishes or calls themselves, in the dashboard it is text; and were it not, the page's policy would
// keep it from running.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, goTo, openDashboard } from "./dashboard-page.ts";
import { listen, publishMany } from "./dashboard-traffic.ts";
import { launchChromium } from "./reader.ts";
import { startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

test("shows what is hostile as the text it is, in every field", async () => {
  const server = await startServer();
  const run = "window.hacked=1";
  const image = `<img src=x onerror=${run}>`;
  const script = `</script><script>${run}</script>`;
  const tight = `<svg/onload=${run}>`;
  const user = `"><b>${image}`;
  const topic = `hostile/${image}/${script}`;
  await listen(server, user, [topic, `javascript:${run}`, "hostile/**"], image);
  await publishMany(server, [
    { topic, type: tight, text: `${script}\u202E{{constructor}}` },
    {
      topic,
      type: "'onclick=alert()//",
      data: { [image]: script, __proto__: { toString: tight } },
    },
    { user, type: tight, data: image },
  ]);
  const { page, wrongs } = await openDashboard(browser, server.url);
  const says = (text: string) =>
    expect.poll(() => page.locator("main").textContent(), eventually).toContain(text);
  for (const text of [topic, tight, user]) await says(text);
  await goTo(page, "Connections");
  for (const text of [topic, user]) await says(text);
  await page.getByRole("button", { name: `Revoke user ${user}` }).click();
  expect(await page.getByRole("dialog").textContent()).toContain(user);
  await page.keyboard.press("Escape");
  await goTo(page, "Topics");
  await page.getByRole("link", { name: topic, exact: true }).click();
  for (const text of [tight, `${script}[U+202E]{{constructor}}`]) await says(text);
  await page.getByRole("link", { name: "Watch it live" }).click();
  for (const text of [topic, tight, image]) await says(text);
  await goTo(page, "Token");
  await page.getByLabel("A token").fill(tokenFor(user, [image, script]));
  for (const text of [user, image, script]) await says(JSON.stringify(text).slice(1, -1));
  await goTo(page, "Publish");
  await page.getByLabel("Topic").fill(`${image}//`);
  await page.getByRole("button", { name: "Publish" }).click();
  await says(image);

  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  expect(await page.locator("main :is(img, script, b b, [onerror], [onload])").count()).toBe(0);
  expect(wrongs).toEqual([]);
});

test("runs no script and makes no markup but its own, even for what got into the page", async () => {
  const server = await startServer();
  const { page, wrongs } = await openDashboard(browser, server.url);
  const outcome = await page.evaluate(() => {
    const script = document.createElement("script");
    const tried = [() => script.append("window.hacked = 1"), () => document.body.append(script)];
    const markup = () => {
      document.body.innerHTML = "<img src=x onerror='window.hacked = 1'>";
    };
    return [...tried, markup].map((attempt) => {
      try {
        attempt();
        return "done";
      } catch (error) {
        return (error as Error).name;
      }
    });
  });
  expect(outcome.at(-1)).toBe("TypeError");
  await expect
    .poll(() => wrongs.join("\n"), eventually)
    .toMatch(/require-trusted-types-for.*HTMLScriptElement/);
  expect(wrongs.join("\n")).toMatch(/require-trusted-types-for.*innerHTML/);
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  const answer = await fetch(`${server.url}/admin/`);
  expect(answer.headers.get("Content-Security-Policy")).toMatch(/frame-ancestors 'none'/);
  expect(answer.headers.get("Cache-Control")).toBe("no-store");
});
