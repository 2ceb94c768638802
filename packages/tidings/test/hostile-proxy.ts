// A proxy as bad as they come, in front of a real server. For each connection it draws what to do to it, from
// a seed. It knows TCP and nothing of what passes through.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export type Fault =
  | "mute" // takes the request and never answers
  | "half-open" // goes silent after some bytes, and stays open
  | "dribble" // a few bytes at a time, for a while, then a cut
  | "buffer" // holds everything back, then lets go and ends
  | "reset" // a TCP reset after some bytes
  | "cut" // an orderly end after some bytes, in mid-event
  | "502" // an HTML page of its own
  | "refuse" // closes at once
  | "redirect"; // somewhere else, as the page of a hotel does

export const FAULTS: readonly Fault[] = [
  "mute",
  "half-open",
  "dribble",
  "buffer",
  "reset",
  "cut",
  "502",
  "refuse",
  "redirect",
];

/**
 * How often each is drawn. What costs the client seconds to notice is rare, or a test takes minutes. A redirect
 * ends a client, so only a test that expects it asks for it.
 */
const WEIGHTS: Record<Fault, number> = {
  mute: 2,
  "half-open": 1,
  dribble: 3,
  buffer: 3,
  reset: 8,
  cut: 10,
  "502": 4,
  refuse: 4,
  redirect: 0,
};

const PAGE = "<!doctype html><h1>502 Bad Gateway</h1>";
/** Pages of any origin may read these, so that a browser's client learns as much as any other. */
const HEADERS = "Access-Control-Allow-Origin: *\r\nConnection: close\r\n";
/** What the proxy answers by itself. */
const ANSWERS: Partial<Record<Fault, string>> = {
  "502":
    `HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: ${PAGE.length}\r\n` +
    `${HEADERS}\r\n${PAGE}`,
  redirect: `HTTP/1.1 302 Found\r\nLocation: /sign-in\r\nContent-Length: 0\r\n${HEADERS}\r\n`,
};

export interface Hostility {
  /** How often each fault is drawn, where it is not as often as usual. */
  weights?: Partial<Record<Fault, number>>;
  /** The longest that a connection is left alone, about. */
  peaceMsMax?: number;
}

export interface HostileProxy {
  readonly url: string;
  /** How often each fault was done to a connection. */
  readonly done: Map<Fault, number>;
  /** All of them. */
  faults(): number;
  /** From now on everything passes. */
  relent(): void;
}

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export async function startHostileProxy(
  targetPort: number,
  random: () => number,
  { weights = {}, peaceMsMax = 1_000 }: Hostility = {},
): Promise<HostileProxy> {
  const weighted = { ...WEIGHTS, ...weights };
  const sum = Object.values(weighted).reduce((sum, weight) => sum + weight, 0);
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  const done = new Map<Fault, number>();
  let relented = false;

  function later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
  }

  function draw(): Fault {
    let left = random() * sum;
    for (const fault of FAULTS) {
      left -= weighted[fault];
      if (left < 0) return fault;
    }
    return "cut";
  }

  function keep(socket: Socket, other?: Socket): void {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other?.destroy();
    });
  }

  const proxy = createServer((client) => {
    // Drawn in any case, so that a seed means the same connections.
    const fault = draw();
    const bytes = Math.floor(random() ** 2 * 20_000);
    const ms = ((0.1 + random() * 0.9) * peaceMsMax) / 4;
    keep(client);
    if (relented) return pass(client);
    const count = () => done.set(fault, (done.get(fault) ?? 0) + 1);
    if (fault === "refuse") {
      count();
      return client.destroy();
    }
    const answer = ANSWERS[fault];
    if (answer) {
      return client.once("data", () => {
        count();
        client.end(answer);
      });
    }
    const server = connect(targetPort, "127.0.0.1");
    keep(server, client);
    client.on("close", () => server.destroy());
    client.on("data", (chunk) => server.write(chunk));
    if (fault === "mute") {
      client.once("data", count);
      return server.resume();
    }
    if (fault === "buffer") {
      const held: Buffer[] = [];
      server.on("data", (chunk) => held.push(chunk));
      return later(ms * 3, () => {
        count();
        client.end(Buffer.concat(held));
        server.destroy();
      });
    }
    // The rest pass some bytes first; a connection that is not busy enough gets its fault in time.
    let left = bytes;
    let struck = false;
    const strike = () => {
      if (struck || client.destroyed) return;
      struck = true;
      count();
      if (fault === "half-open") return;
      if (fault === "reset") client.resetAndDestroy();
      else client.end();
      server.destroy();
    };
    server.on("data", (chunk) => {
      if (struck) return;
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (fault === "dribble") dribble(client, part);
      else client.write(part);
      if (left === 0) strike();
    });
    later(ms * 4, strike);
    return undefined;
  });

  function dribble(client: Socket, part: Buffer): void {
    client.setNoDelay(true);
    for (let at = 0; at < part.length; at += 7) {
      const piece = part.subarray(at, at + 7);
      // In order, because timers of one length are.
      setImmediate(() => client.writable && client.write(piece));
    }
  }

  function pass(client: Socket): void {
    const server = connect(targetPort, "127.0.0.1");
    keep(server, client);
    client.on("close", () => server.destroy());
    client.pipe(server).pipe(client);
  }

  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  onTestFinished(() => {
    proxy.close();
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  });
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    done,
    faults: () => [...done.values()].reduce((sum, count) => sum + count, 0),
    relent: () => {
      relented = true;
    },
  };
}
