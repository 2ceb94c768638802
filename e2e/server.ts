// Runs the real `tidings` binary for one test: starts it, publishes to it, ends it. Knows the command
// line and the publishing route; what a test reads back, it reads by its own means.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { TOKEN_SECRET } from "./token.ts";

/** Random, because the server refuses a key that looks made up. */
export const API_KEY = `tk_${randomBytes(32).toString("hex")}`;

const START_MS_MAX = 20_000;

export interface StartOptions {
  /** The port to listen on; one that the system chooses, if not given. */
  port?: number;
  /** `--dev`, with a token secret that the server makes up. */
  dev?: boolean;
  /** The origins whose pages may read from the server. */
  origins?: string[];
  /** Other settings, by their variables. */
  settings?: Record<string, string>;
}

export interface Server {
  readonly port: number;
  readonly url: string;
  /** The operators' own address, where the settings have one. */
  readonly adminUrl: string | undefined;
  /** Publishes one event and returns its id. */
  publish(event: Record<string, unknown>): Promise<string>;
  /** Posts JSON to a path with the API key; an answer that is not a 2xx is an error. */
  post(path: string, body: unknown): Promise<unknown>;
  /** Ends the server without warning, as a crash would. */
  kill(): Promise<void>;
  /** Asks the server to drain, and returns its exit code. */
  drain(): Promise<number | null>;
}

/** The binary under test. */
export function binary(): string {
  const path = process.env.TIDINGS_BIN;
  if (!path)
    throw new Error("TIDINGS_BIN must name the tidings binary; `cargo xtask test` sets it");
  return path;
}

/** Starts a server that ends with the test, at the latest. */
export async function startServer(options: StartOptions = {}): Promise<Server> {
  const { port = 0, dev = false, origins = [], settings = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "tidings-e2e-"));
  const config = join(folder, "tidings.toml");
  await writeFile(config, origins.length ? `[cors]\norigins = ${JSON.stringify(origins)}\n` : "");

  const child = spawn(
    binary(),
    ["serve", "--config", config, "--listen", `127.0.0.1:${port}`, ...(dev ? ["--dev"] : [])],
    {
      stdio: ["ignore", "ignore", "pipe"],
      // Nothing inherited: a TIDINGS_ variable of the person who runs the tests would count.
      env: {
        PATH: process.env.PATH,
        TIDINGS_API_KEY: API_KEY,
        TIDINGS_STREAMS__HEARTBEAT_SECS: "1",
        TIDINGS_LIMITS__SSE__LIMIT: "0",
        ...(dev ? {} : { TIDINGS_TOKEN_SECRET: TOKEN_SECRET }),
        ...settings,
      },
    },
  );
  onTestFinished(async () => {
    await end(child, "SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  const { address, adminAddress } = await listening(child, "TIDINGS_ADMIN_LISTEN" in settings);
  const url = `http://${address}`;
  return {
    adminUrl: adminAddress && `http://${adminAddress}`,
    port: Number(address.slice(address.lastIndexOf(":") + 1)),
    url,
    publish: async (event) => ((await post(url, "/api/events", event)) as { id: string }).id,
    post: (path, body) => post(url, path, body),
    kill: async () => void (await end(child, "SIGKILL")),
    drain: () => end(child, "SIGTERM"),
  };
}

interface Addresses {
  address: string;
  adminAddress: string | undefined;
}

/** The addresses in the server's own log lines, which it writes once it listens. */
async function listening(child: ChildProcess, withAdmin: boolean): Promise<Addresses> {
  const log: string[] = [];
  let address: string | undefined;
  let adminAddress: string | undefined;
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${why}; its log:\n${log.join("\n")}`));
    const deadline = setTimeout(() => fail("the server does not listen in time"), START_MS_MAX);
    child.once("error", (error) => fail(`the server cannot be started: ${error.message}`));
    child.once("exit", (code) => fail(`the server ended with ${code} instead of listening`));
    if (!child.stderr) throw new Error("the server's log is not a pipe");
    // Read to the end, so that a chatty server never blocks on a full pipe.
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      address ??= addressIn(line, "listening");
      adminAddress ??= addressIn(line, "listening for operators");
      if (!address || (withAdmin && !adminAddress)) return;
      clearTimeout(deadline);
      resolve({ address, adminAddress });
    });
  });
}

function addressIn(line: string, message: string): string | undefined {
  if (!line.startsWith("{")) return undefined;
  const { fields } = JSON.parse(line) as { fields?: { message?: string; address?: string } };
  return fields?.message === message ? fields.address : undefined;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }
  return child.exitCode;
}

async function post(url: string, path: string, body: unknown): Promise<unknown> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(`${path} was answered ${response.status}: ${JSON.stringify(answer)}`);
  }
  return answer;
}
