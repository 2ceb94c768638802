// The plainest client there is: what curl prints is what is on the wire.

import { spawn } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { startServer } from "./server.ts";
import { streamUrl } from "./token.ts";

const eventually = { timeout: 10_000, interval: 20 };

/** Runs curl until the test ends; the returned function tells what it has printed so far. */
function curl(...args: string[]): () => string {
  const child = spawn("curl", ["--silent", "--show-error", "--no-buffer", ...args]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  }
  return () => printed;
}

test("curl with Last-Event-ID gets what it missed, then what comes", async () => {
  const server = await startServer();
  const seen = await server.publish({ topic: "orders/1", text: "seen" });
  const missed = await server.publish({
    topic: "orders/1",
    type: "notification",
    text: "missed,\nin two lines",
  });
  await server.publish({ topic: "orders/2", text: "somebody else's" });

  const printed = curl("--header", `Last-Event-ID: ${seen}`, streamUrl(server.url, "orders/1"));
  await expect.poll(printed, eventually).toContain(`id: ${missed}\n`);
  const live = await server.publish({ topics: ["orders/2", "orders/1"], data: { live: true } });
  await expect.poll(printed, eventually).toContain(`id: ${live}\n`);
  await expect.poll(printed, eventually).toContain('data: {"live":true}\n\n');

  const blocks = printed().split("\n\n");
  expect(blocks[0]).toMatch(/^id: .+\nevent: tidings\.connected\ndata: .*"resumed":true/);
  expect(printed()).toMatch(/\nretry: \d+\n\n/);
  const event = blocks.find((block) => block.startsWith(`id: ${missed}\n`));
  expect(event).toMatch(
    /^id: \S+\nevent: notification\ntopic: orders\/1\ntime: \d{13}\ndata: missed,\ndata: in two lines$/,
  );
  expect(printed()).toContain("\ntopic: orders/2,orders/1\n");
  expect(printed()).not.toContain("somebody else's");
  expect(printed().split("data: seen").length).toBe(1);
});

test("curl without a credential is told so, as a problem document", async () => {
  const server = await startServer();
  const printed = curl(
    "--write-out",
    "\n%{http_code} %{content_type}",
    `${server.url}/api/sse?topic=orders/1`,
  );
  await expect.poll(printed, eventually).toContain("\n401 application/problem+json");
  expect(JSON.parse(printed().split("\n401")[0] ?? "")).toMatchObject({
    status: 401,
    code: "unauthenticated",
  });
});
