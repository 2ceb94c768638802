// `tidings/server` against the real server, and against one of ours that fails as a test says.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT } from "jose";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createTidings } from "../src/client.ts";
import {
  createFakeTidings,
  generateSSEToken,
  Tidings,
  verifySSEToken,
} from "../src/server/index.ts";
import { API_KEY, startServer, TOKEN_SECRET } from "./server.ts";

const eventually = { timeout: 20_000, interval: 10 };
const secret = TOKEN_SECRET;

afterEach(() => vi.unstubAllEnvs());

/** A server that answers each request with the next of these: a status, or a broken connection. */
async function failing(
  ...answers: (number | "break" | { status: number; body: unknown; headers?: object })[]
) {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const answer = answers[Math.min(bodies.push(body), answers.length) - 1] ?? 500;
    if (answer === "break") return void request.socket.destroy();
    const {
      status,
      body: said,
      headers = {},
    } = typeof answer === "number"
      ? { status: answer, body: { id: "k7q2m9x1-1", durability: "memory" } }
      : answer;
    response
      .writeHead(status, { "Content-Type": "application/json", ...headers })
      .end(JSON.stringify(said));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, bodies };
}

describe("a token", () => {
  test("is let in by the server, with what it grants, and says the same when it is read back", async () => {
    const server = await startServer();
    const until = new Date(Math.floor(Date.now() / 1_000) * 1_000 + 3_600_000);
    const token = await generateSSEToken(
      "ada",
      { plan: "pro" },
      {
        secret,
        until,
        subscribe: ["orders/*"],
        publish: ["chat/7"],
        sessionId: "s1",
        role: "admin",
      },
    );
    const client = createTidings({ url: server.url, token, topics: ["orders/1"] });
    onTestFinished(() => client.close());
    client.connect();
    await expect
      .poll(() => client.getSnapshot(), eventually)
      .toMatchObject({ status: "open", user: "ada" });
    const read = await verifySSEToken(token, { secret });
    expect(read).toMatchObject({
      userId: "ada",
      metadata: { plan: "pro" },
      subscribe: ["orders/*"],
      publish: ["chat/7"],
      sessionId: "s1",
      role: "admin",
      until,
    });
    expect((read?.expiresAt.getTime() ?? 0) - (read?.issuedAt.getTime() ?? 0)).toBe(300_000);
  });

  test("takes its secret from the environment", async () => {
    vi.stubEnv("TIDINGS_TOKEN_SECRET", secret);
    expect(await verifySSEToken(await generateSSEToken("ada"))).toMatchObject({
      userId: "ada",
      metadata: {},
    });
  });

  const sign = (header: object, claims: object, key = secret) =>
    new SignJWT({ aud: "tidings", sub: "ada", jti: "1", iat: 1, exp: 9e9, ...claims })
      .setProtectedHeader({ alg: "HS256", typ: "tidings+jwt", ...header })
      .sign(new TextEncoder().encode(key));

  const rows: [name: string, token: () => Promise<string>][] = [
    ["is empty", async () => ""],
    ["is no JWT", async () => "a.b.c"],
    ["was signed with another secret", () => sign({}, {}, "x".repeat(32))],
    ["has another algorithm", () => sign({ alg: "HS512" }, {}, "x".repeat(64))],
    ["is of another type", () => sign({ typ: "JWT" }, {})],
    ["is for another audience", () => sign({}, { aud: "others" })],
    ["is past its time", () => sign({}, { exp: 2 })],
    ["is past its stream's time", () => sign({}, { until: 2 })],
    ["has no user", () => sign({}, { sub: undefined })],
    ["has an empty user", () => sign({}, { sub: "" })],
    ["has no id", () => sign({}, { jti: undefined })],
    ["never expires", () => sign({}, { exp: undefined })],
    [
      "was changed",
      async () => (await sign({}, {})).replace(/\.[^.]*\./, `.${btoa('{"sub":"eve"}')}.`),
    ],
  ];
  test.each(rows)("that %s is none", async (_, token) => {
    expect(await verifySSEToken(await token(), { secret })).toBeNull();
  });

  test("is not made without a good secret, or for nobody", async () => {
    vi.stubEnv("TIDINGS_TOKEN_SECRET", "");
    await expect(generateSSEToken("ada")).rejects.toThrow("TIDINGS_TOKEN_SECRET");
    await expect(generateSSEToken("ada", {}, { secret: "short" })).rejects.toThrow(
      "shorter than 32",
    );
    await expect(verifySSEToken("x", { secret: "short" })).rejects.toThrow("shorter than 32");
    await expect(generateSSEToken("", {}, { secret })).rejects.toThrow("id of a user");
  });
});

describe("a publisher", () => {
  test("reaches topics, users and everyone, and learns what was refused", async () => {
    const server = await startServer();
    const tidings = new Tidings({ url: `${server.url}/`, apiKey: API_KEY });
    const token = await generateSSEToken("a/b", {}, { secret, subscribe: ["orders/*"] });
    const client = createTidings({
      url: server.url,
      token,
      rewind: "all",
      topics: ["orders/*", "user/a%2Fb", "broadcast"],
    });
    onTestFinished(() => client.close());
    const seen: unknown[] = [];
    client.onAny(({ type, data }) => seen.push([type, data]));

    expect(
      await tidings.publish({ topic: "orders/1", type: "shipped", data: { n: 1 } }),
    ).toMatchObject({
      id: expect.stringMatching(/-1$/),
      durability: "memory",
    });
    await tidings.toUser("a/b", { type: "hello", text: "you" });
    await tidings.broadcast({ data: "all" });
    const results = await tidings.publishMany([
      { topic: "orders/2", data: 2 },
      { topic: "a//b", data: 3 },
      { topic: "orders/4", data: 4 },
    ]);
    expect(results).toMatchObject([
      { durability: "memory" },
      { error: { code: "invalid-topic" } },
      { durability: "memory" },
    ]);
    expect(await tidings.publishMany([])).toEqual([]);
    await expect(tidings.publish({ topic: "a//b" })).rejects.toMatchObject({
      name: "TidingsRequestError",
      status: 400,
      code: "invalid-topic",
      outcomeUnknown: false,
    });
    await expect
      .poll(() => seen, eventually)
      .toEqual([
        ["shipped", { n: 1 }],
        ["hello", "you"],
        ["message", "all"],
        ["message", 2],
        ["message", 4],
      ]);
    await expect.poll(() => client.getSnapshot().status, eventually).toBe("open");
    expect(await tidings.disconnectUser("a/b")).toMatchObject({ closed: 1 });
    await expect.poll(() => client.getSnapshot().status, eventually).toBe("closed");
  });

  test("sends more than a request holds in several, in order", async () => {
    const server = await startServer(0, { TIDINGS_LOG__EVENTS_PER_TOPIC_MAX: "5000" });
    const tidings = new Tidings({ url: server.url, apiKey: API_KEY });
    const results = await tidings.publishMany(
      Array.from({ length: 2_500 }, (_, i) => ({ topic: "n", data: i })),
    );
    expect(results.map((result) => ("id" in result ? Number(result.id.split("-")[1]) : 0))).toEqual(
      Array.from({ length: 2_500 }, (_, i) => i + 1),
    );
  });

  test("tries again with the same bytes and the same key, and a key publishes once", async () => {
    const { url, bodies } = await failing("break", 503, 201);
    const tidings = new Tidings({ url, apiKey: API_KEY });
    expect(await tidings.publish({ topic: "a", data: 1 })).toEqual({
      id: "k7q2m9x1-1",
      durability: "memory",
    });
    expect(bodies.length).toBe(3);
    expect(new Set(bodies).size).toBe(1);
    expect(JSON.parse(bodies[0] ?? "")).toMatchObject({
      key: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });

    const server = await startServer();
    const real = new Tidings({ url: server.url, apiKey: API_KEY });
    const first = await real.publish({ topic: "a", data: 1, key: "once" });
    expect(await real.publish({ topic: "a", data: 1, key: "once" })).toEqual(first);
  });

  test.each([400, 401, 403, 404, 409, 413, 415])("does not try again after %i", async (status) => {
    const { url, bodies } = await failing({
      status,
      body: { code: "some-code", detail: "some detail" },
    });
    const tidings = new Tidings({ url, apiKey: API_KEY });
    await expect(tidings.publish({ topic: "a" })).rejects.toMatchObject({
      status,
      code: "some-code",
      message: "some detail",
      outcomeUnknown: false,
    });
    expect(bodies.length).toBe(1);
  });

  test("that gives up says that the outcome is unknown, and never what its key is", async () => {
    const { url } = await failing("break");
    const tidings = new Tidings({ url, apiKey: API_KEY, tryingMs: 700 });
    const error = await tidings.publish({ topic: "a" }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ outcomeUnknown: true, status: undefined });
    expect(JSON.stringify(error) + String(error) + JSON.stringify(tidings)).not.toContain(API_KEY);
  });

  test("is made from the environment", async () => {
    const { url, bodies } = await failing(201);
    vi.stubEnv("TIDINGS_URL", url);
    vi.stubEnv("TIDINGS_API_KEY", "");
    expect(() => Tidings.fromEnv()).toThrow("TIDINGS_API_KEY");
    vi.stubEnv("TIDINGS_API_KEY", API_KEY);
    await Tidings.fromEnv().broadcast({ data: 1 });
    expect(JSON.parse(bodies[0] ?? "")).toMatchObject({ broadcast: true });
  });
});

describe("the rate limiter", () => {
  const limit = { identifier: "comments", limit: 2, window: 60 };
  const from = (forwarded?: string) =>
    new Request("http://app.test", { headers: forwarded ? { "x-forwarded-for": forwarded } : {} });

  test("counts at the real server, each name and each subject by itself", async () => {
    const server = await startServer();
    const { rateLimiter } = new Tidings({ url: server.url, apiKey: API_KEY });
    const request = new Request("http://app.test", { headers: { "x-forwarded-for": "5.6.7.8" } });
    const login = { identifier: "login", limit: 2, window: 60 };
    const ask = (more: object = {}) => rateLimiter.applyRateLimit(request, { ...login, ...more });
    expect([await ask(), await ask()]).toEqual([undefined, undefined]);
    const refused = await ask();
    expect(refused?.status).toBe(429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await ask({ subject: "ada" })).toBeUndefined();
    expect(await ask({ identifier: "search" })).toBeUndefined();
  });

  test("asks the server, and answers 429 when it says so", async () => {
    const said = { allowed: false, limit: 2, remaining: 0, resetSecs: 17 };
    const { url, bodies } = await failing(
      { status: 200, body: { ...said, allowed: true } },
      { status: 200, body: said },
    );
    const { rateLimiter } = new Tidings({ url, apiKey: API_KEY });
    expect(await rateLimiter.applyRateLimit(from("1.2.3.4, 5.6.7.8"), limit)).toBeUndefined();
    const refused = await rateLimiter.applyRateLimit(from(), { ...limit, subject: "ada" });
    expect(bodies.map((body) => JSON.parse(body))).toEqual([
      { identifier: "comments", subject: "5.6.7.8", limit: 2, windowSecs: 60 },
      { identifier: "comments", subject: "ada", limit: 2, windowSecs: 60 },
    ]);
    expect(refused?.status).toBe(429);
    expect(Object.fromEntries(refused?.headers ?? [])).toMatchObject({
      "content-type": "application/problem+json",
      "retry-after": "17",
      ratelimit: '"comments";r=0;t=17',
      "ratelimit-policy": '"comments";q=2;w=60',
    });
    expect(await refused?.json()).toMatchObject({ code: "rate-limited", status: 429 });
  });

  test.each(["break", 500, 503, 429] as const)(
    "lets the request go on when the server cannot say (%s)",
    async (answer) => {
      const { url, bodies } = await failing(answer);
      const { rateLimiter } = new Tidings({ url, apiKey: API_KEY });
      expect(await rateLimiter.applyRateLimit(from(), limit)).toBeUndefined();
      expect(bodies.length).toBe(1);
    },
  );

  test("says so when it is used wrongly", async () => {
    const { url } = await failing({ status: 403, body: { code: "forbidden" } });
    const { rateLimiter } = new Tidings({ url, apiKey: API_KEY });
    await expect(rateLimiter.applyRateLimit(from(), limit)).rejects.toMatchObject({
      code: "forbidden",
    });
  });
});

describe("the fake", () => {
  test("remembers what was published and who was disconnected", async () => {
    const fake = createFakeTidings();
    await fake.publish({ topic: "a", data: 1 });
    await fake.publishMany([
      { users: ["ada"], data: 2 },
      { user: "bob", data: 3 },
    ]);
    await fake.toUser("ada", { data: 4 });
    await fake.broadcast({ data: 5 });
    await fake.disconnectUser("ada");
    expect(fake.published.map(({ data }) => data)).toEqual([1, 2, 3, 4, 5]);
    expect(fake.publishedTo("ada").map(({ data }) => data)).toEqual([2, 4, 5]);
    expect(fake.disconnected).toEqual(["ada"]);
    await expect(fake.publish({ data: 1 })).rejects.toThrow("needs a topic");
    fake.reset();
    expect([fake.published, fake.disconnected]).toEqual([[], []]);
  });

  test("never lets in more than the limit within any window", async () => {
    let now = 0;
    const { rateLimiter } = createFakeTidings({ now: () => now });
    const ask = async (subject: string) =>
      (
        await rateLimiter.applyRateLimit(new Request("http://app.test"), {
          identifier: "x",
          limit: 2,
          window: 10,
          subject,
        })
      )?.headers.get("retry-after");
    expect([await ask("a"), await ask("a"), await ask("a"), await ask("b")]).toEqual([
      undefined,
      undefined,
      "10",
      undefined,
    ]);
    now = 9_000;
    expect(await ask("a")).toBe("1");
    now = 10_000;
    expect(await ask("a")).toBeUndefined();
  });
});
