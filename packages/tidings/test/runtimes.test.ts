// The package as it is built, in Node, Deno and Bun, against the real server: tokens, publishing, the client on each
// transport over a restart of the server, and an end that leaves nothing running.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { API_KEY, startServer, TOKEN_SECRET } from "./server.ts";

const eventually = { timeout: 20_000, interval: 10 };
const folder: string = fileURLToPath(new URL("..", import.meta.url));
const { resolve } = createRequire(import.meta.url);
let built: string;

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), "tidings-runtimes-"));
  const tsdown = join(dirname(resolve("tsdown/package.json")), "dist/run.mjs");
  const building = [tsdown, "--out-dir", built, "--no-dts", "--logLevel", "warn"];
  await promisify(execFile)(process.execPath, building, { cwd: folder });
  await writeFile(join(built, "package.json"), '{ "type": "module" }');
  await writeFile(join(built, "program.js"), PROGRAM);
});
afterAll(() => rm(built, { recursive: true, force: true }));

/** Tells what it sees as lines of JSON, until it is told that this is the end. */
const PROGRAM = `
import { EventSource } from "./eventsource.js";
import { createTidings } from "./index.js";
import { generateSSEToken, Tidings, verifySSEToken } from "./server.js";

const [url, apiKey, secret] = process.argv.slice(2);
const tell = (...said) => console.log(JSON.stringify(said));
const token = () => generateSSEToken("ada", {}, { subscribe: ["orders/*"], secret });

tell("user", (await verifySSEToken(await token(), { secret })).userId);
const { id } = await new Tidings({ url, apiKey }).publish({ topic: "orders/1", type: "said", data: "by us" });
tell("published", typeof id);

for (const transport of ["sse", "long-poll", "poll"]) {
  const client = createTidings({
    url,
    token,
    topics: ["orders/*"],
    rewind: "all",
    transports: [transport],
    timing: { pollIntervalMs: 100 },
    onGap: ({ reason }) => tell(transport, "gap", reason),
  });
  for await (const { data } of client) {
    tell(transport, data);
    if (data === "the end") break;
  }
  client.close();
  tell(transport, client.getSnapshot().status);
}

const query = new URLSearchParams({ topic: "orders/1", rewind: "all", token: await token() });
const source = new EventSource(url + "/api/sse?" + query);
source.addEventListener("said", ({ data }) => {
  tell("EventSource", JSON.parse(data));
  if (JSON.parse(data) === "the end") source.close();
});
`;

/** Where the registry's package for this machine has a program. */
function program(name: string, path: string): string {
  return join(dirname(resolve(`${name}/package.json`)), path);
}

const { platform, arch } = process;
const libc = platform === "linux" ? "-glibc" : "";
const runtimes: [name: string, command: () => string[]][] = [
  ["Node", () => [process.execPath]],
  [
    "Deno",
    () => [
      program(`@deno/${platform}-${arch}${libc}`, "deno"),
      // The network of this machine is all that it needs.
      ...["run", "--no-config", "--no-lock", "--no-remote", "--allow-net=127.0.0.1"],
    ],
  ],
  [
    "Bun",
    () => [
      program(`@oven/bun-${platform}-${arch === "arm64" ? "aarch64" : arch}`, "bin/bun"),
      "run",
    ],
  ],
];

test.each(runtimes)("works in %s", async (_, command) => {
  const first = await startServer();
  const [path = "", ...options] = command();
  const child = spawn(
    path,
    [...options, join(built, "program.js"), first.url, API_KEY, TOKEN_SECRET],
    { stdio: ["ignore", "pipe", "pipe"], env: { DENO_DIR: built, DENO_NO_UPDATE_CHECK: "1" } },
  );
  onTestFinished(() => end(child));
  const exited = once(child, "exit");
  const told: unknown[] = [];
  const complaints: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => told.push(JSON.parse(line)));
  createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
  const say = (server: typeof first, ...data: string[]) =>
    server.publish(...data.map((one) => ({ topic: "orders/1", type: "said", data: one })));
  const tells = async (...lines: unknown[]) => {
    await expect
      .poll(() => [told.slice(0, lines.length), complaints], eventually)
      .toEqual([lines, []]);
    told.splice(0, lines.length);
  };

  await tells(["user", "ada"], ["published", "string"], ["sse", "by us"]);
  await say(first, "one", "two");
  await tells(["sse", "one"], ["sse", "two"]);
  await first.kill();
  const second = await startServer(first.port);
  await say(second, "three", "the end");
  await tells(["sse", "gap", "epoch"], ["sse", "three"], ["sse", "the end"], ["sse", "closed"]);
  for (const transport of ["long-poll", "poll"]) {
    await tells([transport, "three"], [transport, "the end"], [transport, "closed"]);
  }
  await tells(["EventSource", "three"], ["EventSource", "the end"]);
  expect(await exited).toEqual([0, null]);
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
