// All that the page needs of a server: the page itself, the files of the npm package, and a token. It has
// no users: everybody is the guest. It knows nothing of streams; the page talks to Tidings itself.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const PORT = Number(process.env.PORT ?? 3000);
const TIDINGS_URL = process.env.TIDINGS_URL ?? "http://localhost:4000";
const TIDINGS_TIMEOUT_MS = 3_000;

/** The one topic of this example. */
const TOPIC = "board";

const PAGE = new URL("index.html", import.meta.url);
const PACKAGE = new URL("../../packages/tidings/dist/", import.meta.url);

createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  response.setHeader("Cache-Control", "no-store");
  try {
    if (request.method !== "GET") return response.writeHead(405).end();
    if (path === "/") return await page(response);
    if (path === "/token") return await token(response);
    const file = path.match(/^\/tidings\/([\w-]+\.js)$/)?.[1];
    if (file) return await script(response, file);
    response.writeHead(404).end("There is nothing here.\n");
  } catch (error) {
    process.stderr.write(`GET ${path} failed: ${error}\n`);
    response.writeHead(502).end("The server's log says what went wrong.\n");
  }
}).listen(PORT, "localhost", () => {
  process.stdout.write(`listening on http://localhost:${PORT}\n`);
});

async function page(response) {
  const html = await readFile(PAGE, "utf8");
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(html.replace('content="http://localhost:4000"', () => `content="${TIDINGS_URL}"`));
}

async function script(response, file) {
  const text = await readFile(new URL(file, PACKAGE)).catch(() => undefined);
  if (!text) return response.writeHead(404).end("Build the package first; run.mjs does it.\n");
  response.setHeader("Content-Type", "text/javascript; charset=utf-8");
  response.end(text);
}

/**
 * What a guest may do: listen to the topic and publish to it, for the next five minutes. An application
 * that has users names whoever is signed in, and lets nobody publish who should not.
 */
async function token(response) {
  const answer = await fetch(`${TIDINGS_URL}/api/sse/token`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.TIDINGS_API_KEY}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ userId: "guest", subscribe: [TOPIC], publish: [TOPIC] }),
    signal: AbortSignal.timeout(TIDINGS_TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`Tidings answered ${answer.status}: ${await answer.text()}`);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end((await answer.json()).token);
}
