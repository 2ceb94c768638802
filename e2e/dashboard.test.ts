// The dashboard in Chromium against the real server: who gets in, whether its numbers are right, what an operator does
// with it, and that nothing anybody publishes becomes more than text in it.

import { readFile } from "node:fs/promises";
import { get } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  eventually,
  expectStatus,
  figure,
  goTo,
  openDashboard,
  PARTS,
  signIn,
} from "./dashboard-page.ts";
import { launchChromium } from "./reader.ts";
import { API_KEY, type Server, startServer } from "./server.ts";
import { tokenFor } from "./token.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
});

/** An open stream of a user, which is read and forgotten. Returns when the server has said hello. */
function listen(server: Server, user: string, topics: string[], agent = "tests"): Promise<void> {
  const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  const headers = { Authorization: `Bearer ${tokenFor(user, topics)}`, "User-Agent": agent };
  return new Promise((resolve, reject) => {
    const request = get(`${server.url}/api/sse?${query}`, { headers, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`a stream got ${response.statusCode}`));
      // The server may end first.
      response.on("error", () => {});
      response.once("data", () => resolve()).resume();
    });
    request.on("error", reject);
    onTestFinished(() => void request.destroy());
  });
}

/** Publishes a batch; every event of it is taken. */
async function publishMany(server: Server, events: object[]): Promise<void> {
  const response = await fetch(`${server.url}/api/events`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify(events),
  });
  const { results } = (await response.json()) as { results: { id?: string }[] };
  expect(results.filter(({ id }) => id)).toHaveLength(events.length);
}

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

test("says how it is connected, comes back by itself, and shows the new server's numbers", async () => {
  const first = await startServer();
  const { page, wrongs } = await openDashboard(browser, first.url);
  await first.kill();
  await expectStatus(page, "Connection lost, retrying");
  await expect.poll(() => page.locator(".countdown").textContent(), eventually).toMatch(/in \d+ s/);
  const second = await startServer({ port: first.port });
  await publishMany(second, Array(7).fill({ topic: "orders/1", data: 1 }));
  await page.getByRole("button", { name: "Try now" }).click();
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
  const [asset] = /assets\/index-[^"]+\.js/.exec(await answer.text()) ?? [];
  const script = await fetch(`${server.url}/admin/${asset}`);
  expect(script.headers.get("Content-Type")).toMatch(/^text\/javascript/);
  expect(script.headers.get("Cache-Control")).toMatch(/immutable/);
  const licences = await fetch(`${server.url}/admin/assets/licences.txt`);
  expect(await licences.text()).toMatch(/preact[^]*uplot/);
});

test("is usable by ear and by keyboard, in both colours and both widths", async () => {
  const server = await startServer();
  await Promise.all(["ada", "grace"].map((user) => listen(server, user, ["orders/*"])));
  await publishMany(server, Array(20).fill({ topic: "orders/1", type: "t", data: { a: 1 } }));
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  for (const [width, colorScheme] of [
    [1600, "light"],
    [380, "dark"],
  ] as const) {
    const options = { width, colorScheme, bypassCSP: true };
    const { page } = await openDashboard(browser, server.url, { ...options, key: null });
    await page.evaluate(axe);
    const faults: string[] = await faultsOf(page, "sign in");
    await signIn(page, API_KEY);
    for (const part of PARTS) {
      await page.evaluate((hash) => location.assign(hash), `#/${part}`);
      await page.getByRole("heading", { level: 1, name: part }).waitFor();
      await expect.poll(() => page.getByText("Loading", { exact: true }).count()).toBe(0);
      if (part === "token") await page.getByLabel("A token").fill(tokenFor("ada", ["a/*"]));
      faults.push(...(await faultsOf(page, part)));
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(tooWide, `${part} at ${width} pixels`).toBeLessThanOrEqual(0);
    }
    expect(faults, `${colorScheme} at ${width} pixels`).toEqual([]);
  }

  const { page } = await openDashboard(browser, server.url);
  await page.keyboard.press("Tab");
  await page.getByRole("button", { name: "Skip to the content" }).press("Enter");
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  expect(await focused()).toBe("Overview");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  expect(await page.getByRole("radio", { name: "15 min" }).isChecked()).toBe(true);
  await page.getByRole("link", { name: "Tail" }).press("Enter");
  await expect.poll(focused, eventually).toBe("Tail");
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

const CONNECTIONS = 50;
const LISTENERS_PER_TOPIC = 5;
const EVENTS_PER_SEC = 500;
const BATCHES_PER_SEC = 10;
const LOAD_SECS = Number(process.env.TIDINGS_TEST_DASHBOARD_SECS ?? 5);

test("shows the right numbers under load, without a long task and without growing", {
  timeout: 60_000 + LOAD_SECS * 4_000,
}, async () => {
  const server = await startServer();
  const topics = Array.from({ length: CONNECTIONS / LISTENERS_PER_TOPIC }, (_, n) => `load/${n}`);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, n) =>
      listen(server, `user-${n % 20}`, [topics[n % topics.length] ?? ""]),
    ),
  );
  const { page, wrongs } = await openDashboard(browser, server.url);
  // The fifty, and this page's own.
  await expect.poll(() => figure(page, "Connections", "active"), eventually).toBe(51);

  const load = startLoad(server, topics);
  await expect
    .poll(() => figure(page, "Events published", "now"), eventually)
    .toBeGreaterThan(EVENTS_PER_SEC / 2);
  await page.getByRole("region", { name: "Busiest users" }).getByText("user-7").waitFor();
  await takePictures(page, "overview");
  const devtools = await page.context().newCDPSession(page);
  await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
  await seconds(page, LOAD_SECS);
  await goTo(page, "Tail");
  // Until all that a tail keeps is there, it grows.
  await expect
    .poll(() => page.getByText(/kept/).textContent(), eventually)
    .toMatch(/^2,000 kept, 200 shown/);
  const before = await weigh();
  await seconds(page, LOAD_SECS);
  const after = await weigh();
  const tasks = longTasks(await browser.stopTracing());
  await takePictures(page, "tail");
  await goTo(page, "Overview");
  const { published, secs } = await load.stop();

  const total = () => figure(page, "Events published", "since the start");
  await expect.poll(total, eventually).toBe(published);
  const delivered = () => figure(page, "Events delivered", "since the start");
  await expect.poll(delivered, eventually).toBeGreaterThanOrEqual(published * LISTENERS_PER_TOPIC);
  // Beside the fifty there were this page's numbers and its tail.
  const mine = published + 2 * (secs + 30);
  expect(await delivered()).toBeLessThanOrEqual(published * LISTENERS_PER_TOPIC + mine);
  await expect.poll(() => figure(page, "Events published", "now"), eventually).toBe(0);
  expect(await figure(page, "Errors", "since the start")).toBe(0);
  expect(await figure(page, "Gaps", "since the start")).toBe(0);

  // By the processor's clock, so that a busy machine does not count as a busy page.
  expect(tasks.filter(({ cpuMs }) => cpuMs > 100)).toEqual([]);
  expect(after.heapBytes).toBeLessThan(before.heapBytes * 1.2 + 1_000_000);
  expect(after.nodes).toBeLessThan(before.nodes * 1.2 + 200);
  expect(wrongs).toEqual([]);

  async function weigh() {
    await devtools.send("HeapProfiler.collectGarbage");
    const { usedSize } = await devtools.send("Runtime.getHeapUsage");
    const { nodes } = await devtools.send("Memory.getDOMCounters");
    return { heapBytes: usedSize, nodes };
  }
});

/** Publishes so many events a second until told to stop; then it says how many they were. */
function startLoad(server: Server, topics: string[]) {
  const begun = Date.now();
  const size = EVENTS_PER_SEC / BATCHES_PER_SEC;
  let published = 0;
  let going = true;
  const run = async () => {
    while (going) {
      const due = ((Date.now() - begun) / 1000) * EVENTS_PER_SEC;
      if (published + size > due) {
        await new Promise((resolve) => setTimeout(resolve, 1000 / BATCHES_PER_SEC / 4));
        continue;
      }
      const event = (n: number) => ({
        topic: topics[n % topics.length],
        type: ["shipped", "price.changed", "note"][n % 3],
        data: { number: published + n, carrier: "post", lines: [{ sku: "a-1", count: 2 }] },
      });
      await publishMany(
        server,
        Array.from({ length: size }, (_, n) => event(n)),
      );
      published += size;
    }
  };
  const running = run();
  onTestFinished(() => {
    going = false;
  });
  return {
    async stop() {
      going = false;
      await running;
      return { published, secs: (Date.now() - begun) / 1000 };
    },
  };
}

/** Lets the page live through so many samples of a second each, as it sees them itself. */
async function seconds(page: Page, count: number): Promise<void> {
  await page.evaluate((ms) => new Promise((resolve) => setTimeout(resolve, ms)), count * 1000);
}

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args?: { name?: string };
}

/** The longest tasks of the page's own thread, with the time that the processor spent on each. */
function longTasks(trace: Buffer): { name: string; cpuMs: number }[] {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const mains = traceEvents
    .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
    .map(({ pid, tid }) => `${pid} ${tid}`);
  const tasks = traceEvents.filter(
    ({ ph, tdur, pid, tid }) => ph === "X" && tdur !== undefined && mains.includes(`${pid} ${tid}`),
  );
  expect(tasks.length, "tasks in the trace").toBeGreaterThan(100);
  return tasks
    .map(({ name, tdur = 0 }) => ({ name, cpuMs: tdur / 1000 }))
    .sort((a, b) => b.cpuMs - a.cpuMs)
    .slice(0, 5);
}

/** Leaves pictures to look at. */
async function takePictures(page: Page, name: string): Promise<void> {
  const folder = fileURLToPath(new URL("screenshots", import.meta.url));
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [380, 1600]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 1000 });
      const fits = () =>
        page
          .locator(".chart canvas")
          .evaluateAll((charts) =>
            charts.every(
              (chart) => chart.clientWidth <= (chart.closest(".chart")?.clientWidth ?? 0),
            ),
          );
      await expect.poll(fits, eventually).toBe(true);
      await page.screenshot({ path: `${folder}/dashboard-${name}-${width}-${colorScheme}.png` });
    }
  }
}
