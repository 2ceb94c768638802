// A site whose pages use the built client of the package, and a proxy before the hub that counts the streams
// which are open. Knows nothing of what a test does with the pages.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const BUILT = fileURLToPath(new URL("../packages/tidings/dist/", import.meta.url));

/** The client is a global of the page. */
const PAGE = `<!doctype html><title>A tab</title>
<script type="module">import { createTidings } from "/index.js"; Object.assign(globalThis, { createTidings });</script>`;

/** Serves one page and the client's modules. Returns the origin. */
export async function serveClient(): Promise<string> {
  const site = createServer(async ({ url = "/" }, response) => {
    if (url === "/") {
      response.setHeader("Content-Type", "text/html").end(PAGE);
      return;
    }
    const [name] = /^[\w.-]+\.js$/.exec(url.slice(1)) ?? [];
    const text = name && (await readFile(join(BUILT, name)).catch(() => undefined));
    if (!text) response.writeHead(404).end();
    else response.setHeader("Content-Type", "text/javascript").end(text);
  });
  return listen(site);
}

export interface CountingProxy {
  readonly url: string;
  /** How many streams are open, to the client as to the hub. */
  streams(): number;
}

export async function startCountingProxy(hub: string): Promise<CountingProxy> {
  const streams = new Set<ServerResponse>();
  const proxy = createServer((asked, answer) => {
    const { method, url = "/", headers } = asked;
    const onward = request(new URL(url, hub), { method, headers, agent: false });
    const stream = method === "GET" && url.startsWith("/api/sse");
    if (stream) streams.add(answer);
    answer.on("close", () => {
      streams.delete(answer);
      onward.destroy();
    });
    onward.on("error", () => answer.destroy());
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      answer.flushHeaders();
      response.pipe(answer);
    });
    asked.pipe(onward);
  });
  return { url: await listen(proxy), streams: () => streams.size };
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
