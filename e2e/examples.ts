// Runs the applications of `examples/` for one test, each beside a real Tidings that takes its sessions.
// Knows how they are built, started and configured, not what is on their pages.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { API_KEY, type Server, startServer } from "./server.ts";
import { TOKEN_SECRET } from "./token.ts";

const START_MS_MAX = 30_000;

const NEXT_FOLDER = new URL("../examples/nextjs/", import.meta.url);
const NEXT = createRequire(new URL("package.json", NEXT_FOLDER)).resolve("next/dist/bin/next");
const ANY_BACKEND_FOLDER = new URL("../examples/any-backend/", import.meta.url);
const PLAIN_FOLDER = new URL("../examples/plain/", import.meta.url);

/** An application, and the Tidings beside it. */
export interface Example {
  readonly name: string;
  readonly url: string;
  /** The path of the page whose stream the session cookie opens. */
  readonly cookiePage: string;
  readonly tidings: Server;
  /** Starts Tidings anew after it has ended: the same port and settings, and an empty log. */
  startAgain(): Promise<Server>;
}

/** How Tidings learns whose a session is: it decrypts the cookie, or it asks the application. */
export type Way = "authjs" | "introspect";

/** Builds the Next.js example; once is enough for all tests. */
export async function buildNextjs(): Promise<void> {
  const child = run(NEXT_FOLDER, [NEXT, "build"], {});
  const [code] = await once(child.process, "exit");
  if (code !== 0) throw new Error(`next build ended with ${code}:\n${child.output()}`);
}

/** Starts the Next.js example, as it was built. */
export function startNextjs(way: Way): Promise<Example> {
  const secret = randomBytes(32).toString("base64");
  return start(`nextjs-${way}`, (url) => ({
    folder: NEXT_FOLDER,
    cookiePage: "/session",
    parameters: [NEXT, "start", "--hostname", "localhost", "--port", new URL(url).port],
    environment: { AUTH_SECRET: secret, AUTH_URL: url, TIDINGS_TOKEN_SECRET: TOKEN_SECRET },
    settings:
      way === "authjs"
        ? { TIDINGS_AUTH__SESSION__AUTHJS__SECRETS: secret }
        : introspecting(`${url}/api/tidings/session`, "authjs.session-token"),
  }));
}

/** Starts the example without a framework. */
export function startAnyBackend(): Promise<Example> {
  return start("any-backend", (url) => ({
    folder: ANY_BACKEND_FOLDER,
    parameters: ["server.mjs"],
    environment: { PORT: new URL(url).port },
    settings: introspecting(`${url}/tidings/session`, "sid"),
  }));
}

/** Starts the page without a build step. */
export function startPlain(): Promise<Example> {
  return start("plain", (url) => ({
    folder: PLAIN_FOLDER,
    parameters: ["server.mjs"],
    environment: { PORT: new URL(url).port },
    settings: {},
  }));
}

function introspecting(url: string, cookie: string): Record<string, string> {
  return {
    TIDINGS_AUTH__SESSION__INTROSPECT__URL: url,
    TIDINGS_AUTH__SESSION__INTROSPECT__COOKIES: cookie,
  };
}

interface Plan {
  folder: URL;
  cookiePage?: string;
  /** What Node runs. */
  parameters: string[];
  environment: Record<string, string>;
  /** Settings of Tidings. */
  settings: Record<string, string>;
}

async function start(name: string, planFor: (url: string) => Plan): Promise<Example> {
  // Cookies belong to a host, whatever the port: both are `localhost` to the browser.
  const url = `http://localhost:${await freePort()}`;
  const { folder, cookiePage = "/", parameters, environment, settings } = planFor(url);
  const startTidings = (port?: number) =>
    startServer({ origins: [url], settings, ...(port ? { port } : {}) });
  const tidings = await startTidings();
  const tidingsUrl = `http://localhost:${tidings.port}`;
  const child = run(folder, parameters, {
    TIDINGS_API_KEY: API_KEY,
    TIDINGS_URL: tidingsUrl,
    ...environment,
  });
  onTestFinished(async () => {
    if (child.process.exitCode !== null || child.process.signalCode !== null) return;
    const exited = once(child.process, "exit");
    child.process.kill("SIGKILL");
    await exited;
  });
  await answering(url, child);
  return {
    name,
    url,
    cookiePage,
    tidings: { ...tidings, url: tidingsUrl },
    startAgain: () => startTidings(tidings.port),
  };
}

interface Child {
  process: ChildProcess;
  output(): string;
}

function run(folder: URL, parameters: string[], environment: Record<string, string>): Child {
  const child = spawn(process.execPath, parameters, {
    cwd: fileURLToPath(folder),
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, NEXT_TELEMETRY_DISABLED: "1", ...environment },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return { process: child, output: () => output };
}

async function answering(url: string, child: Child): Promise<void> {
  const deadline = Date.now() + START_MS_MAX;
  while (Date.now() < deadline && child.process.exitCode === null) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} does not answer; it said:\n${child.output()}`);
}

/** A port that was free a moment ago: the application and Tidings have to know of each other beforehand. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
