// The page of `tidings serve --dev` as a newcomer meets it: two tabs, a command piped into
// `tidings publish`, and a server that is restarted under them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { launchChromium } from "./reader.ts";
import { API_KEY, binary, type Server, startServer } from "./server.ts";

const eventually = { timeout: 20_000, interval: 50 };

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

async function openTab(server: Server, hash = ""): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  onTestFinished(() => page.close());
  await page.goto(`${server.url}/${hash}`);
  await expect.poll(() => page.locator("#state").textContent(), eventually).toBe("live");
  return page;
}

/** The page's rows, newest first: the data of events, and gaps by their reason. */
function rowsOf(page: Page): Promise<string[]> {
  return page
    .locator("#events > li")
    .evaluateAll((rows: HTMLElement[]) =>
      rows.map((row) =>
        row.dataset.reason
          ? `gap ${row.dataset.reason}`
          : (row.querySelector(".data")?.textContent ?? row.textContent ?? ""),
      ),
    );
}

/** Pipes lines into `tidings publish --lines` and waits until it has published them. */
async function pipe(server: Server, lines: string[]): Promise<void> {
  const args = ["publish", "--url", server.url, "--api-key", API_KEY];
  const child = spawn(binary(), [...args, "--lines", "--topic", "system/vmstat"], {
    stdio: ["pipe", "ignore", "pipe"],
    env: { PATH: process.env.PATH },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  child.stdin.end(lines.map((line) => `${line}\n`).join(""));
  const [code] = await once(child, "close");
  expect(code, complaint).toBe(0);
}

test("two tabs show what is piped in, and the gap that a restart makes", async () => {
  const first = await startServer({ dev: true });
  const tabs = [await openTab(first), await openTab(first)];
  const places = await placesOf(tabs[0] as Page);
  const before = [" r  b   swpd   free", " 1  0      0 812340", " 0  0      0 812338"];
  await pipe(first, before);
  for (const tab of tabs) {
    await expect.poll(() => rowsOf(tab), eventually).toEqual(before.toReversed());
  }
  await expect
    .poll(() => tabs[0]?.locator("#events .topic").allTextContents(), eventually)
    .toEqual(Array(3).fill("system/vmstat"));

  await first.kill();
  for (const tab of tabs) {
    await expect.poll(() => tab.locator("#state").textContent(), eventually).toBe("reconnecting");
  }
  // The new server makes up a new secret, so the tabs must also get new tokens.
  const second = await startServer({ dev: true, port: first.port });
  for (const tab of tabs) {
    await expect.poll(() => tab.locator("#state").textContent(), eventually).toBe("live");
  }
  const after = [" 2  0      0 790112", " 0  1      0 790110"];
  await pipe(second, after);
  for (const tab of tabs) {
    await expect
      .poll(() => rowsOf(tab), eventually)
      .toEqual([...after.toReversed(), "gap epoch", ...before.toReversed()]);
    expect(await tab.locator("li.gap").textContent()).toContain("the hub restarted");
  }
  await expect
    .poll(() => tabs[0]?.locator("#events .topic").allTextContents(), eventually)
    .toEqual(Array(5).fill("system/vmstat"));
  // What came and went moved nothing that a person might be about to click.
  expect(await placesOf(tabs[0] as Page)).toEqual(places);
  await takePictures(tabs[0] as Page);
});

test("the page shows events of types it was not told of, and never runs what is in them", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server);
  const hostile = "<img src=x onerror='window.hacked = true'><script>window.hacked = true</script>";
  await server.publish({ topic: "demo/<b>bold</b>", type: "<i>odd</i>", text: hostile });
  await server.publish({ topic: "demo/quiet", type: "surprise", text: "of another type" });

  await expect.poll(() => rowsOf(page), eventually).toEqual(["of another type", hostile]);
  expect(await page.locator("#events .topic").allTextContents()).toEqual([
    "demo/quiet",
    "demo/<b>bold</b>",
  ]);
  expect(await page.locator("#events .type").allTextContents()).toEqual(["surprise", "<i>odd</i>"]);
  expect(await page.locator("#events :is(img, script, i, b)").count()).toBe(0);
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  // From now on the type is known, and its events arrive as they are published.
  await server.publish({ topic: "demo/quiet", type: "surprise", text: "at once" });
  await expect.poll(async () => (await rowsOf(page))[0], eventually).toBe("at once");
});

test("the page shows what would turn the direction of writing by its number", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server);
  await server.publish({ topic: "demo/\u202Egpj.exe", text: "a\u2067b שלום" });
  await expect.poll(() => rowsOf(page), eventually).toEqual(["a[U+2067]b שלום"]);
  await expect
    .poll(() => page.locator("#events .topic").allTextContents(), eventually)
    .toEqual(["demo/[U+202E]gpj.exe"]);
});

test("the page runs no script but its own, even one that got into its markup", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server);
  const refused = page.waitForEvent("console", (said) => said.text().includes("script-src"));
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.hacked = true";
    document.body.append(script);
  });
  await refused;
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
});

test("the page is not given to a site that points its own name at this machine", async () => {
  const { port } = await startServer({ dev: true });
  const statusFor = async (host: string) => {
    const request = get({ host: "127.0.0.1", port, headers: { Host: `${host}:${port}` } });
    const [response] = await once(request, "response");
    response.resume();
    return response.statusCode;
  };
  expect(await statusFor("localhost")).toBe(200);
  expect(await statusFor("[::1]")).toBe(200);
  expect(await statusFor("rebound.example.com")).toBe(403);
  expect(await statusFor("localhost.example.com")).toBe(403);
  expect(await statusFor("127.0.0.1.example.com")).toBe(403);
});

test("the page can be used by keyboard alone", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server);
  await pipe(server, Array(60).fill("a line"));
  await expect.poll(async () => (await rowsOf(page)).length, eventually).toBe(60);

  // From the top: topics, Watch, Pause, Clear, the events, and then the form that publishes.
  for (let presses = 0; presses < 5; presses += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("End");
  await expect
    .poll(() => page.locator("#log").evaluate((log) => log.scrollTop), eventually)
    .toBeGreaterThan(0);
  await page.keyboard.press("Tab");
  await page.keyboard.type("demo/keys");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("typed");
  await page.keyboard.press("Control+Enter");
  await expect.poll(async () => (await rowsOf(page))[0], eventually).toBe("typed");
  await expect
    .poll(() => page.locator("#events .topic").first().textContent(), eventually)
    .toBe("demo/keys");
});

test("the page publishes, and holds events back while it is paused", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server, "#topics=demo/*");
  const publish = page.getByRole("button", { name: "Publish" });
  await page.getByLabel("Data").fill('{"hello":"world"}');
  await publish.click();
  await expect.poll(() => rowsOf(page), eventually).toEqual(['{"hello":"world"}']);

  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByLabel("Data").fill("plain text");
  await publish.click();
  const goOn = page.getByRole("button", { name: "Go on (1)" });
  await goOn.waitFor();
  expect(await page.locator("#events > li:visible").count()).toBe(1);
  await goOn.click();
  await expect.poll(() => page.locator("#events > li:visible").count(), eventually).toBe(2);
  expect(await rowsOf(page)).toEqual(["plain text", '{"hello":"world"}']);
});

test("the page says why the hub refuses a topic", async () => {
  const server = await startServer({ dev: true });
  const page = await openTab(server);
  await page.getByLabel("Topics or patterns").fill("a//b");
  await page.getByRole("button", { name: "Watch" }).click();
  await expect.poll(() => page.locator("#state").textContent(), eventually).toBe("refused");
  expect(await page.locator("#notice").textContent()).toMatch(/topic|segment/i);
});

/** Where on the screen the things are that a person reads or clicks. */
function placesOf(page: Page) {
  return page
    .locator("#topics, #watch button, #log, #publish, #cursor")
    .evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect().toJSON()));
}

/** Leaves pictures to look at, and checks that nothing sticks out of a narrow window. */
async function takePictures(page: Page): Promise<void> {
  const folder = fileURLToPath(new URL("screenshots", import.meta.url));
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [380, 1600]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 1000 });
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - window.innerWidth,
      );
      expect(overflow, `at ${width} pixels`).toBeLessThanOrEqual(0);
      await page.screenshot({ path: `${folder}/dev-page-${width}-${colorScheme}.png` });
    }
  }
}
