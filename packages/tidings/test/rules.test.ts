// The client's rules as tables: what the server does, and what the client does about it and when. Randomness is
// pinned to its upper end, so that every wait is its ceiling: 3, 6, 12, 24 and 30 seconds.

import { describe, expect, test } from "vitest";
import type { Transport } from "../src/types.ts";
import { randomFrom } from "./hostile-proxy.ts";
import { type Answer, block, connected, createWorld, page } from "./world.ts";

const STREAM: Transport[] = ["sse"];
const open = (...more: [number, string][]): Answer => ({ body: [[0, connected()], ...more] });

/** A source of tokens that are all different, and how many were asked for. */
function tokens() {
  let count = 0;
  return {
    count: () => count,
    token: async () => {
      count += 1;
      return `t${count}`;
    },
  };
}

function problem(status: number, code: string, headers = {}): Answer {
  return {
    status,
    headers,
    body: [[0, JSON.stringify({ status, code, detail: `detail of ${code}` })]],
  };
}

describe("an answer that ends the client", () => {
  test.each([204, 301, 308, 400, 403, 404, 405, 410, 413, 415])(
    "%i: one request",
    async (status) => {
      const world = createWorld({ sse: [{ status }], polling: [{ status }] });
      const client = world.client();
      client.connect();
      await world.advance(600_000);
      expect(world.times()).toEqual(["0 sse"]);
      expect(client.getSnapshot()).toMatchObject({
        status: "closed",
        error: { kind: "status", status },
      });
      expect(world.timers()).toBe(0);
    },
  );

  test("the problem's code and detail are told", async () => {
    const world = createWorld({ sse: [problem(403, "forbidden-topic")] });
    const client = world.client();
    client.connect();
    await world.advance(1);
    expect(client.getSnapshot()).toMatchObject({
      error: { code: "forbidden-topic", message: "detail of forbidden-topic" },
    });
  });
});

describe("a failure that is worth another try", () => {
  const rows: [name: string, answer: Answer][] = [
    ["408", { status: 408 }],
    ["425", { status: 425 }],
    ["429", { status: 429 }],
    ["500", { status: 500 }],
    [
      "502 with HTML",
      { status: 502, headers: { "Content-Type": "text/html" }, body: [[0, "<h1>"]] },
    ],
    ["503", { status: 503 }],
    ["599", { status: 599 }],
    ["no server", { refused: true }],
    ["a page where a stream should be", { type: "text/html", body: [[0, "<h1>"]], endsAtMs: 0 }],
    ["a reset before the first byte", { breaks: true, endsAtMs: 0 }],
    ["an end before the first event", { body: [[0, ": hi\n\n"]], endsAtMs: 0 }],
    ["a stream that is cut as soon as it is connected", { body: [[0, connected()]], endsAtMs: 0 }],
    [
      "a first event cut in the middle",
      { body: [[0, connected().slice(0, 40)]], breaks: true, endsAtMs: 0 },
    ],
  ];
  test.each(rows)("%s: waits that double up to 30 seconds", async (_, answer) => {
    const world = createWorld({ sse: [answer] });
    const client = world.client({ transports: STREAM });
    client.connect();
    await world.advance(110_000);
    expect(world.times()).toEqual([
      "0 sse",
      "3 sse",
      "9 sse",
      "21 sse",
      "45 sse",
      "75 sse",
      "105 sse",
    ]);
    expect(client.getSnapshot()).toMatchObject({
      status: "retrying",
      attempt: 7,
      retryAt: 1_135_000,
    });
    client.close();
    expect([world.timers(), client.getSnapshot().status]).toEqual([0, "closed"]);
  });

  test("the wait is drawn between one second and the ceiling", async () => {
    const world = createWorld({ sse: [{ status: 503 }] });
    world.env.random = () => 0;
    world.client({ transports: STREAM }).connect();
    await world.advance(3_500);
    expect(world.times()).toEqual(["0 sse", "1 sse", "2 sse", "3 sse"]);
  });

  const retryAfter: [header: string, secs: number][] = [
    ["60", 66],
    ["0", 3],
    ["nonsense", 3],
    [new Date(1_000_000 + 100_000).toUTCString(), 110],
    ["999999", 330],
  ];
  test.each(retryAfter)("Retry-After: %s waits %i seconds", async (header, secs) => {
    const world = createWorld({ sse: [{ status: 503, headers: { "Retry-After": header } }] });
    world.client({ transports: STREAM }).connect();
    await world.advance(secs * 1_000);
    expect(world.times()).toEqual(["0 sse", `${secs} sse`]);
  });

  test("`retry` is the first ceiling", async () => {
    const first = { body: [[0, `${connected()}retry: 2000\n\n`]], endsAtMs: 0 } as Answer;
    const world = createWorld({ sse: [first, { status: 503 }] });
    world.client({ transports: STREAM }).connect();
    await world.advance(15_000);
    expect(world.times()).toEqual(["0 sse", "2 sse", "6 sse", "14 sse"]);
  });

  test("only a stream that lived for 10 seconds begins the waits anew", async () => {
    const short = { body: [[0, connected()]], endsAtMs: 9_000 } as Answer;
    const long = {
      body: [
        [0, connected()],
        [10_000, ":\n"],
      ],
      endsAtMs: 10_000,
    } as Answer;
    const world = createWorld({ sse: [short, short, long, short] });
    world.client({ transports: STREAM }).connect();
    await world.advance(60_000);
    expect(world.times()).toEqual(["0 sse", "12 sse", "27 sse", "40 sse", "55 sse"]);
  });
});

describe("the token", () => {
  const sent = (world: ReturnType<typeof createWorld>) =>
    world.asked.map(({ headers }) => headers.Authorization);

  test("is renewed once on a 401, at once, and a second 401 ends", async () => {
    const world = createWorld({ sse: [problem(401, "token-expired")] });
    const { token, count } = tokens();
    const client = world.client({ token });
    client.connect();
    await world.advance(600_000);
    expect(sent(world)).toEqual(["Bearer t1", "Bearer t2"]);
    expect([world.times(), count()]).toEqual([["0 sse", "0 sse"], 2]);
    expect(client.getSnapshot()).toMatchObject({ status: "closed", error: { status: 401 } });
  });

  test("counts as good once it was let in", async () => {
    const cut = { body: [[0, connected()]], endsAtMs: 0 } as Answer;
    const world = createWorld({ sse: [{ status: 401 }, cut, { status: 401 }, open()] });
    const client = world.client({ token: tokens().token });
    client.connect();
    await world.advance(5_000);
    expect(sent(world)).toEqual(["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]);
    expect(client.getSnapshot()).toMatchObject({ status: "open", user: "42" });
  });

  test("that cannot be renewed ends with the first 401", async () => {
    const world = createWorld({ sse: [{ status: 401 }] });
    world.client({ token: "fixed" }).connect();
    await world.advance(600_000);
    expect(sent(world)).toEqual(["Bearer fixed"]);
  });

  test("is asked for once by all clients that share the function", async () => {
    const { token, count } = tokens();
    const world = createWorld({ sse: [{ status: 401 }, { status: 401 }, open()] });
    for (const client of [world.client({ token }), world.client({ token })]) client.connect();
    await world.advance(1_000);
    expect(sent(world)).toEqual(["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]);
    expect(count()).toBe(2);
  });

  test("that cannot be had is tried again, and does not lead to polling", async () => {
    let calls = 0;
    const token = () => {
      calls += 1;
      return Promise.reject(new Error("no session"));
    };
    const world = createWorld({ sse: [open()], polling: [page([])] });
    const client = world.client({ token });
    client.connect();
    await world.advance(50_000);
    expect([world.times(), calls]).toEqual([[], 5]);
    expect(client.getSnapshot()).toMatchObject({ error: { kind: "token", message: "no session" } });
  });

  test("that takes for ever is a failure too", async () => {
    const world = createWorld({ sse: [open()] });
    const client = world.client({ token: () => new Promise<string>(() => undefined) });
    client.connect();
    await world.advance(16_000);
    expect(client.getSnapshot()).toMatchObject({ status: "retrying", error: { kind: "token" } });
  });
});

describe("a server that ends the stream", () => {
  const closing = (reason: string, retryMs?: number) =>
    open([0, block("tidings.closing", { reason, retryMs })]);

  const rows: [reason: string, tokens: number][] = [
    ["drain", 1],
    ["expired", 2],
    ["revoked", 2],
    ["of another version", 1],
  ];
  test.each(rows)("for '%s' is come back to after exactly retryMs", async (reason, count) => {
    const { token, count: asked } = tokens();
    const world = createWorld({ sse: [closing(reason, 4_321), open()] });
    const client = world.client({ token });
    client.connect();
    await world.advance(5_000);
    expect(world.times()).toEqual(["0 sse", "4.321 sse"]);
    expect([client.getSnapshot().status, asked()]).toEqual(["open", count]);
  });

  test("and has been replaced: the end", async () => {
    const world = createWorld({ sse: [closing("replaced", 1_000)] });
    const client = world.client();
    client.connect();
    await world.advance(600_000);
    expect(world.times()).toEqual(["0 sse"]);
    expect(client.getSnapshot()).toMatchObject({ status: "closed", error: { code: "replaced" } });
  });

  test("never makes the client spin", async () => {
    const world = createWorld({ sse: [closing("drain", 0)] });
    world.client().connect();
    await world.advance(3_500);
    expect(world.times()).toEqual(["0 sse", "1 sse", "2 sse", "3 sse"]);
  });

  const expiring: [reason: string, tokens: string[]][] = [
    ["token", ["Bearer t1", "Bearer t2"]],
    ["age", ["Bearer t1", "Bearer t1"]],
  ];
  test.each(expiring)("and says so before (%s) has its successor first", async (reason, sent) => {
    const first = open(
      [1_000, block("tidings.expiring", { inSecs: 30, reason })],
      [2_000, "data: 1\nid: k7q2m9x1-2\n\n"],
    );
    const second: Answer = {
      body: [
        [4_000, connected("k7q2m9x1-1")],
        [4_000, "data: 1\nid: k7q2m9x1-2\n\ndata: 2\nid: k7q2m9x1-3\n\n"],
      ],
    };
    const world = createWorld({ sse: [first, second] });
    const client = world.client({ token: tokens().token });
    const seen: unknown[] = [];
    client.on("message", ({ data }) => seen.push(data));
    await world.advance(10_000);
    expect(world.times()).toEqual(["0 sse", "1 sse"]);
    expect(world.asked.map(({ headers }) => headers.Authorization)).toEqual(sent);
    expect(world.asked[0]?.abandonedAtMs).toBe(5_000);
    expect(seen).toEqual([1, 2]);
    expect(client.states.map(({ status }) => status)).toEqual(["connecting", "open"]);
  });

  test("before its successor works is the reason to connect until it does", async () => {
    const expiring = block("tidings.expiring", { inSecs: 1, reason: "token" });
    const first = open([1_000, expiring], [2_000, block("tidings.closing", { reason: "expired" })]);
    const world = createWorld({ sse: [first, { body: [[3_000, connected()]] }] });
    const client = world.client();
    client.connect();
    await world.advance(10_000);
    expect(world.times()).toEqual(["0 sse", "1 sse"]);
    expect(client.states.slice(1)).toMatchObject([
      { status: "open" },
      { status: "connecting", error: { kind: "closing", code: "expired" } },
      { status: "open" },
    ]);
  });
});

describe("silence", () => {
  test("longer than 2.5 heartbeats drops the stream, though no error was raised", async () => {
    const world = createWorld({
      sse: [{ body: [[0, connected("k7q2m9x1-1", { heartbeatSecs: 2 })]] }, { hangs: true }],
    });
    const client = world.client({ transports: STREAM });
    client.connect();
    await world.advance(5_000);
    expect(world.asked[0]?.abandonedAtMs).toBe(5_000);
    expect(client.getSnapshot()).toMatchObject({ status: "retrying", error: { kind: "silent" } });
  });

  test("is broken by any byte, also of a comment", async () => {
    const beats = Array.from({ length: 100 }, (_, i) => [i * 30_000, ":\n"] as [number, string]);
    const world = createWorld({ sse: [open(...beats)] });
    const client = world.client();
    client.connect();
    await world.advance(3_000_000);
    expect([world.times(), client.getSnapshot().status]).toEqual([["0 sse"], "open"]);
  });

  test("is not what a slow handler makes of it", async () => {
    const world = createWorld({ sse: [open([0, "id: k7q2m9x1-2\ndata: 1\n\n"], [20_000, ":\n"])] });
    const client = world.client();
    let handled: () => void = () => undefined;
    client.on(
      "message",
      () =>
        new Promise<void>((resolve) => {
          handled = resolve;
        }),
    );
    await world.advance(300_000);
    expect([world.times(), client.cursor]).toEqual([["0 sse"], "k7q2m9x1-1"]);
    handled();
    await world.advance(1);
    expect(client.cursor).toBe("k7q2m9x1-2");
    await world.advance(60_000);
    expect(world.asked[0]?.abandonedAtMs).toBeDefined();
  });

  const held: [name: string, answer: Answer][] = [
    ["no answer at all", { hangs: true }],
    ["an answer without a first event", { body: [] }],
    [
      "a comment now and then but no first event",
      {
        body: [
          [5_000, ":\n\n"],
          [12_000, ":\n\n"],
        ],
      },
    ],
    [
      "a first event that dribbles",
      { body: Array.from(connected(), (byte, i) => [i * 500, byte] as const) },
    ],
  ];
  test.each(held)(
    "%s: polls after 15 seconds, and tries the stream in the background",
    async (_, answer) => {
      const world = createWorld({
        sse: [answer],
        polling: [page([["k7q2m9x1-5", "late"]]), { hangs: true }],
      });
      const client = world.client();
      const seen: unknown[] = [];
      client.on("message", ({ data }) => seen.push(data));
      await world.advance(26_000);
      expect(world.times()).toEqual(["0 sse", "15 polling", "15 polling", "18 sse"]);
      expect(world.asked[1]?.query.get("rewind")).toBe("16s");
      // The first answer comes at once, or the client would be "connecting" until a wait is over.
      expect(world.asked[1]?.query.get("wait")).toBe(null);
      expect(world.asked[2]?.query.get("wait")).toBe("25");
      expect(seen).toEqual(["late"]);
      expect(client.getSnapshot()).toMatchObject({
        status: "polling",
        transport: "long-poll",
        error: { kind: "silent" },
      });
    },
  );
});

describe("the fallback", () => {
  test("comes after three streams that failed, on the same cursor, and goes with the first that works", async () => {
    const works = open([15_000, ":\n"], [30_000, ":\n"]);
    const cut: Answer = { body: [[0, connected("k7q2m9x1-7")]], endsAtMs: 0 };
    const world = createWorld({
      sse: [cut, { status: 502 }, { refused: true }, works],
      polling: [page([["k7q2m9x1-9", 9]], { pollAfterMs: 0 }), { hangs: true }],
    });
    const client = world.client();
    client.connect();
    await world.advance(60_000);
    expect(world.times()).toEqual(["0 sse", "3 sse", "9 sse", "9 polling", "9 polling", "21 sse"]);
    expect(world.asked.map(({ headers }) => headers["Last-Event-ID"])).toEqual([
      undefined,
      "k7q2m9x1-7",
      "k7q2m9x1-7",
      "k7q2m9x1-7",
      "k7q2m9x1-9",
      "k7q2m9x1-9",
    ]);
    expect(world.asked[4]?.abandonedAtMs).toBe(21_000);
    expect(client.states.map(({ status }) => status)).toEqual([
      "connecting",
      "open",
      "retrying",
      "connecting",
      "retrying",
      "connecting",
      "connecting",
      "polling",
      "open",
    ]);
  });

  test("stays until a stream that went mute has proved itself", async () => {
    const mute = open();
    const alive = open([9_000, ":\n"], [20_000, ":\n"], [40_000, ":\n"]);
    const world = createWorld({
      sse: [mute, alive],
      polling: [{ ...page([]), ...page([], { pollAfterMs: 5_000 }) }],
    });
    const client = world.client();
    client.connect();
    await world.advance(75_000);
    const polls = world.times().filter((asked) => asked.endsWith("polling"));
    expect([polls[0], polls.at(-1)]).toEqual(["37.5 polling", "57.5 polling"]);
    expect(world.times().filter((asked) => asked.endsWith("sse"))).toEqual(["0 sse", "40.5 sse"]);
    expect(client.states.map(({ status }) => status)).toEqual([
      "connecting",
      "open",
      "connecting",
      "polling",
      "open",
    ]);
  });

  test("does without waiting when something between cuts the wait", async () => {
    const world = createWorld({
      sse: [{ hangs: true }],
      polling: [page([]), { hangs: true }, page([])],
    });
    const client = world.client({ cursor: "k7q2m9x1-1" });
    client.connect();
    await world.advance(75_000);
    const polls = world.asked.filter(({ path }) => path.endsWith("polling"));
    // 25 seconds of waiting and 10 of patience, then a backoff of 3.
    expect(polls.map(({ atMs, query }) => [atMs / 1_000, query.get("wait")])).toEqual([
      [15, null],
      [15, "25"],
      [53, null],
      [63, null],
      [73, null],
    ]);
    expect(client.getSnapshot()).toMatchObject({ status: "polling", transport: "poll" });
  });

  test("is no quicker than once a second while answers are empty and early", async () => {
    const world = createWorld({ sse: [], polling: [page([], { pollAfterMs: 0 })] });
    world.client({ transports: ["long-poll"] }).connect();
    await world.advance(3_500);
    expect(world.times()).toEqual(["0", "0", "1", "2", "3"].map((secs) => `${secs} polling`));
  });

  test("fetches at once what an answer had no room for", async () => {
    const more = page([["k7q2m9x1-2", 2]], { hasMore: true, pollAfterMs: 0 });
    const world = createWorld({ sse: [], polling: [more, page([["k7q2m9x1-3", 3]])] });
    world.client({ transports: ["poll"] }).connect();
    await world.advance(11_000);
    expect(world.times()).toEqual(["0 polling", "0 polling", "10 polling"]);
  });

  test("is given up where there is no polling, and the stream tried on", async () => {
    const world = createWorld({ sse: [{ hangs: true }], polling: [{ status: 404 }] });
    const client = world.client();
    client.connect();
    await world.advance(60_000);
    expect(world.times()).toEqual(["0 sse", "15 polling", "18 sse", "39 sse"]);
  });

  test("polls at once when one more stream is too many, and the stream waits as asked", async () => {
    const full = problem(429, "too-many-connections", { "Retry-After": "50" });
    const world = createWorld({ sse: [full, open()], polling: [page([]), { hangs: true }] });
    const client = world.client();
    client.connect();
    await world.advance(56_000);
    expect(world.times()).toEqual([
      "0 sse",
      "0 polling",
      "0 polling",
      "38 polling",
      "54 polling",
      "55 sse",
    ]);
    expect(client.getSnapshot().status).toBe("open");
  });

  test("brings the stream back soon when the server was gone for both", async () => {
    const gone: Answer = { refused: true };
    const world = createWorld({
      sse: [gone, gone, gone, gone, open()],
      polling: [gone, gone, gone, page([])],
    });
    const client = world.client();
    client.connect();
    await world.advance(35_000);
    // The next stream was due at 45 seconds.
    expect(world.times().slice(-3)).toEqual(["21 sse", "30 polling", "33 sse"]);
    expect(client.getSnapshot().status).toBe("open");
  });
});

describe("events", () => {
  const id = (position: string | number, epoch = "k7q2m9x1") => `${epoch}-${position}`;
  const event = (position: string | number, epoch?: string) =>
    `id: ${id(position, epoch)}\ndata: "${position}"\n\n`;

  async function read(...answers: Answer[]) {
    const world = createWorld({ sse: answers });
    const seen: unknown[] = [];
    const client = world.client({
      transports: STREAM,
      onGap: ({ reason, topics, cursor }) => seen.push(`gap ${reason} ${topics} ${cursor}`),
    });
    client.on("message", ({ data }) => seen.push(data));
    await world.advance(4_000);
    return { seen, client, world };
  }

  test("come once each across a reconnect that repeats some", async () => {
    const first: Answer = {
      body: [
        [0, connected()],
        [0, event(2) + event(5)],
      ],
      endsAtMs: 0,
    };
    const second = open([0, event(2) + event(5) + event(6)]);
    const { seen, world, client } = await read(first, second);
    expect(seen).toEqual(["2", "5", "6"]);
    expect(world.asked[1]?.headers["Last-Event-ID"]).toBe(id(5));
    expect(client.cursor).toBe(id(6));
  });

  test("are compared by positions that no double holds", async () => {
    const large = "18446744073709551613";
    const next = "18446744073709551614";
    const { seen } = await read(
      open([0, event(9) + event(10) + event(large) + event(next) + event(large)]),
    );
    expect(seen).toEqual(["9", "10", large, next]);
  });

  test("follow the gap that comes before them, and a gap moves the cursor", async () => {
    const cut: Answer = {
      body: [
        [0, connected()],
        [0, event(2)],
      ],
      endsAtMs: 0,
    };
    const said = { reason: "epoch", topics: ["orders/**"], cursor: id(0, "bbbbbbbb") };
    const begins = block("tidings.connected", {
      cursor: said.cursor,
      resumed: false,
      heartbeatSecs: 15,
    });
    const gap = block("tidings.gap", said, said.cursor);
    const { seen, client } = await read(cut, { body: [[0, begins + gap + event(1, "bbbbbbbb")]] });
    expect(seen).toEqual(["2", "gap epoch orders/** bbbbbbbb-0", "1"]);
    expect(client.cursor).toBe(id(1, "bbbbbbbb"));
  });

  test("of a stream that breaks between connected and its gap are asked for again with the old cursor", async () => {
    const cut: Answer = {
      body: [
        [0, connected()],
        [0, event(2)],
      ],
      endsAtMs: 0,
    };
    const begins = block("tidings.connected", { cursor: id(0, "bbbbbbbb"), resumed: false });
    const { world } = await read(cut, { body: [[0, begins]], endsAtMs: 0 }, open());
    await world.advance(10_000);
    expect(world.asked[2]?.headers["Last-Event-ID"]).toBe(id(2));
  });

  test("of another epoch without a gap are told as one", async () => {
    const { seen } = await read(open([0, event(7) + event(1, "bbbbbbbb")]));
    expect(seen).toEqual(["7", "gap epoch  bbbbbbbb-1", "1"]);
  });

  test("move the cursor by heartbeats too", async () => {
    const { client } = await read(open([0, `id: ${id(40)}\n\n`]));
    expect(client.cursor).toBe(id(40));
  });

  test("reach every handler though one of them throws", async () => {
    const world = createWorld({ sse: [open([0, event(2) + event(3)])] });
    const thrown: unknown[] = [];
    const seen: unknown[] = [];
    const client = world.client({ onHandlerError: (error) => thrown.push(error) });
    client.on("message", () => {
      throw new Error("first");
    });
    client.on("message", () => Promise.reject(new Error("second")));
    client.onAny(({ data }) => seen.push(data));
    await world.advance(10);
    expect(seen).toEqual(["2", "3"]);
    expect(thrown.map(String)).toEqual([
      "Error: first",
      "Error: second",
      "Error: first",
      "Error: second",
    ]);
    expect(client.cursor).toBe(id(3));
  });

  test("are handled one at a time, and committed after that", async () => {
    const world = createWorld({ sse: [open([0, event(2) + event(3)])] });
    const client = world.client();
    const seen: unknown[] = [];
    const finish: (() => void)[] = [];
    client.on("message", ({ data }) => {
      seen.push(data);
      return new Promise<void>((resolve) => finish.push(resolve));
    });
    await world.advance(10);
    expect([seen, client.cursor]).toEqual([["2"], id(1)]);
    finish.shift()?.();
    await world.advance(10);
    expect([seen, client.cursor]).toEqual([["2", "3"], id(2)]);
  });

  test("stop with close, also those that were read already", async () => {
    const world = createWorld({ sse: [open([0, event(2) + event(3)])] });
    const client = world.client();
    const seen: unknown[] = [];
    client.on("message", ({ data }) => {
      seen.push(data);
      client.close();
    });
    await world.advance(600_000);
    expect([seen, world.times(), world.timers()]).toEqual([["2"], ["0 sse"], 0]);
  });

  test("can be iterated, and count as handled when the next is asked for", async () => {
    const world = createWorld({
      sse: [open([0, event(2) + event(3)], [1, block("tidings.closing", { reason: "replaced" })])],
    });
    const client = world.client();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { data } of client) {
        seen.push([data, client.cursor]);
        if (data === "3") break;
      }
    })();
    await world.advance(100);
    await reading;
    expect(seen).toEqual([
      ["2", id(1)],
      ["3", id(2)],
    ]);
  });

  test("end an iteration with the reason, when there is one", async () => {
    const world = createWorld({ sse: [{ status: 403 }] });
    const client = world.client();
    const reading = (async () => {
      for await (const _ of client) expect.unreachable();
    })();
    const caught = reading.catch((error: unknown) => error);
    await world.advance(10);
    expect(await caught).toMatchObject({ name: "TidingsError", state: { error: { status: 403 } } });
  });

  test("carry their topics, time and data, whatever brought them", async () => {
    const streamed =
      'id: k7q2m9x1-2\nevent: shipped\ntopic: orders/42,user/7\ntime: 5\ndata: {"a":1}\n\nid: k7q2m9x1-3\nevent: shipped\ndata: plain text\n\n';
    const world = createWorld({ sse: [open([0, streamed])] });
    const seen: unknown[] = [];
    world.client().on("shipped", (event) => seen.push(event));
    await world.advance(1);
    expect(seen).toEqual([
      {
        id: "k7q2m9x1-2",
        type: "shipped",
        topics: ["orders/42", "user/7"],
        time: 5,
        data: { a: 1 },
      },
      { id: "k7q2m9x1-3", type: "shipped", topics: [], data: "plain text" },
    ]);
  });
});

describe("the request", () => {
  test("names topics and types, follows no redirect, and is not cached", async () => {
    const world = createWorld({ sse: [open()] });
    const client = world.client({
      url: "http://hub.test/live/",
      topics: ["orders/**", "teams/7"],
      types: ["a", "b"],
      rewind: 20,
      token: "t",
      headers: { "X-One": "1" },
      credentials: "include",
    });
    client.connect();
    await world.advance(1);
    const [asked] = world.asked;
    expect(asked?.path).toBe("/live/api/sse");
    expect([...(asked?.query ?? [])]).toEqual([
      ["topic", "orders/**"],
      ["topic", "teams/7"],
      ["types", "a,b"],
      ["rewind", "20"],
    ]);
    expect(asked?.init).toMatchObject({
      redirect: "manual",
      cache: "no-store",
      credentials: "include",
    });
    expect(asked?.headers).toEqual({
      "X-One": "1",
      Accept: "text/event-stream",
      Authorization: "Bearer t",
    });
  });

  test("starts anew, once, when the server cannot read the cursor", async () => {
    const gaps: string[] = [];
    const world = createWorld({ sse: [problem(400, "invalid-cursor"), open()] });
    const client = world.client({
      cursor: "of-another-server",
      onGap: ({ reason }) => gaps.push(reason),
    });
    client.connect();
    await world.advance(1);
    expect(world.asked.map(({ headers }) => headers["Last-Event-ID"])).toEqual([
      "of-another-server",
      undefined,
    ]);
    expect([gaps, client.getSnapshot().status]).toEqual([["unknown"], "open"]);
  });

  test("is not made before somebody listens, and once for all who do", async () => {
    const world = createWorld({ sse: [open()] });
    const client = world.client();
    await world.advance(1_000);
    expect([world.times(), client.getSnapshot()]).toEqual([
      [],
      { status: "idle", cursor: undefined },
    ]);
    client.on("a", () => undefined);
    client.on("b", () => undefined);
    client.connect();
    await world.advance(1_000);
    expect(world.times()).toEqual(["1 sse"]);
  });

  test("is made anew by reconnect, also after the end", async () => {
    const world = createWorld({ sse: [open(), { status: 403 }, open()] });
    const client = world.client();
    client.connect();
    await world.advance(1_000);
    client.reconnect();
    await world.advance(1_000);
    expect(client.getSnapshot().status).toBe("closed");
    client.reconnect();
    await world.advance(1_000);
    expect([world.times(), client.getSnapshot().status]).toEqual([
      ["0 sse", "1 sse", "2 sse"],
      "open",
    ]);
  });

  test("ends with its signal", async () => {
    const world = createWorld({ sse: [open()] });
    const controller = new AbortController();
    const client = world.client({ signal: controller.signal });
    client.connect();
    await world.advance(1_000);
    controller.abort();
    await world.advance(0);
    expect([client.getSnapshot().status, world.timers()]).toEqual(["closed", 0]);
    expect(world.asked[0]?.abandonedAtMs).toBe(1_000);
  });
});

describe("a server of plain event streams", () => {
  test("needs no first event of ours, may be silent for ever, and has ids of its own", async () => {
    const stream: Answer = {
      body: [[3_600_000, "id: 2\ndata: a\n\nid: 1\ndata: b\n\ndata: c\n\n"]],
      endsAtMs: 3_600_000,
    };
    const world = createWorld({ sse: [stream, { body: [] }] });
    const client = world.client({
      plain: true,
      sseEndpoint: "http://hub.test/api/sse",
      transports: STREAM,
    });
    const seen: unknown[] = [];
    client.on("message", ({ data, id }) => seen.push(`${data} ${id}`));
    await world.advance(1_000);
    expect(client.getSnapshot()).toMatchObject({ status: "open" });
    await world.advance(3_603_000);
    expect(seen).toEqual(["a 2", "b 1", "c 1"]);
    expect(world.asked[1]?.headers["Last-Event-ID"]).toBe("1");
    expect([...(world.asked[1]?.query ?? [])]).toEqual([]);
  });

  test("is recognised by its first event, too", async () => {
    const world = createWorld({ sse: [{ body: [[0, "data: 1\n\n"]] }] });
    const client = world.client();
    const seen: unknown[] = [];
    client.on("message", ({ data }) => seen.push(data));
    await world.advance(600_000);
    expect([seen, client.getSnapshot().status, world.times()]).toEqual([[1], "open", ["0 sse"]]);
  });
});

test("500 clients whose server is gone for a minute come back without a storm", async () => {
  const GONE_MS = 60_000;
  const beats = [10_000, 20_000, 30_000, 40_000].map((at) => [at, ":\n"] as [number, string]);
  const world = createWorld({
    sse: (atMs) => (atMs < GONE_MS ? { refused: true } : open(...beats)),
    polling: (atMs, query) =>
      atMs < GONE_MS ? { refused: true } : query.has("wait") ? { hangs: true } : page([]),
  });
  world.env.random = randomFrom(1);
  const clients = Array.from({ length: 500 }, () => world.client());
  for (const client of clients) client.connect();
  await world.advance(GONE_MS + 40_000);
  expect(clients.filter((client) => client.getSnapshot().status !== "open")).toEqual([]);
  const bySecond = new Map<number, number>();
  for (const { atMs } of world.asked) {
    const second = Math.floor(atMs / 1_000);
    bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
  }
  const after = [...bySecond].filter(([second]) => second >= GONE_MS / 1_000);
  // Streams and polls together. Were they to come back at once, it would be 500 and more.
  expect(Math.max(...after.map(([, count]) => count))).toBeLessThan(100);
});
