// Runs the real `tidings` binary for one test, and signs tokens for it. The server is a development one: it
// does not limit how often a test may come back.

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";

export const API_KEY: string = `tk_${randomBytes(32).toString("hex")}`;
export const TOKEN_SECRET: string = randomBytes(32).toString("hex");

const START_MS_MAX = 20_000;

export interface Server {
  readonly port: number;
  readonly url: string;
  publish(...events: Record<string, unknown>[]): Promise<void>;
  post(path: string, body: unknown): Promise<Response>;
  kill(): Promise<void>;
  drain(): Promise<void>;
}

/** Starts a server that ends with the test, at the latest. */
export async function startServer(
  port = 0,
  settings: Record<string, string> = {},
): Promise<Server> {
  const binary = process.env.TIDINGS_BIN;
  if (!binary)
    throw new Error("TIDINGS_BIN must name the tidings binary; `cargo xtask test` sets it");
  const child = spawn(binary, ["serve", "--dev", "--listen", `127.0.0.1:${port}`], {
    stdio: ["ignore", "ignore", "pipe"],
    // Nothing inherited: a TIDINGS_ variable of the person who runs the tests would count.
    env: {
      TIDINGS_API_KEY: API_KEY,
      TIDINGS_TOKEN_SECRET: TOKEN_SECRET,
      TIDINGS_STREAMS__HEARTBEAT_SECS: "1",
      TIDINGS_LIMITS__CONNECTIONS_PER_USER: "0",
      TIDINGS_LIMITS__CONNECTIONS_PER_ADDRESS: "0",
      ...settings,
    },
  });
  onTestFinished(() => end(child, "SIGKILL"));
  const address = await listening(child);
  const url = `http://${address}`;
  const post = (path: string, body: unknown) =>
    fetch(url + path, {
      method: "POST",
      headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  return {
    port: Number(address.split(":").at(-1)),
    url,
    post,
    async publish(...events) {
      const response = await post("/api/events", events);
      const { results } = (await response.json()) as { results: { error?: unknown }[] };
      const refused = results.find(({ error }) => error);
      if (refused) throw new Error(`not published: ${JSON.stringify(refused)}`);
    },
    kill: () => end(child, "SIGKILL"),
    drain: () => end(child, "SIGINT"),
  };
}

/** The address in the server's own log line, which it writes once it listens. */
function listening(child: ChildProcess): Promise<string> {
  const log: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${why}; its log:\n${log.join("\n")}`));
    const deadline = setTimeout(() => fail("the server does not listen in time"), START_MS_MAX);
    child.once("error", (error) => fail(`the server cannot be started: ${error.message}`));
    child.once("exit", (code) => fail(`the server ended with ${code}`));
    if (!child.stderr) return fail("the server's log is not a pipe");
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      const { fields } = (line.startsWith("{") ? JSON.parse(line) : {}) as {
        fields?: { message?: string; address?: string };
      };
      if (fields?.message !== "listening" || !fields.address) return;
      clearTimeout(deadline);
      resolve(fields.address);
    });
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

/** A token as an application signs it. */
export function tokenFor(user: string, subscribe: string[], claims: object = {}): string {
  const iat = Math.floor(Date.now() / 1000);
  const header = { alg: "HS256", typ: "tidings+jwt" };
  const all = {
    aud: "tidings",
    sub: user,
    iat,
    exp: iat + 600,
    jti: randomUUID(),
    subscribe,
    ...claims,
  };
  const signed = [header, all]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", TOKEN_SECRET).update(signed).digest("base64url")}`;
}
