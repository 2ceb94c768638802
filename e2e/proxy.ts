// A TCP proxy that cuts or holds connections when a test says so, as a bad network does: the server lives on,
// the client does not know why. It keeps what passed through, and understands none of it but request heads and
// the end of a chunked response.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** RFC 9112, section 7.1. */
const LAST_CHUNK = "0\r\n\r\n";
const REQUEST_LINE = /^[A-Z]+ .*(?= HTTP\/1\.1\r$)/gm;

export interface CuttingProxy {
  readonly url: string;
  /** The head of each connection's first request, oldest first. */
  readonly heads: string[];
  /** The first lines of all requests. */
  readonly requestLines: string[];
  /** All bytes that clients were sent. */
  downstream(): string;
  /** Cuts every connection after it has been sent this many bytes more, in mid-event if need be. */
  cutAfter(bytes: number): void;
  /**
   * Ends every response as if it were complete. A browser drops what it has not yet read of a response that
   * was cut, but reads a complete one to its end: so what was sent before this, the client has taken in.
   */
  finish(): void;
  /**
   * From now on nothing passes of the answers to such requests, those of the moment included, and nobody is told:
   * the connections stay open.
   */
  hold(requests: RegExp): void;
  /** Holds no others. Those that were held are lost. */
  release(): void;
  /** How often something was held back. */
  held(): number;
}

export async function startProxy(targetPort: number): Promise<CuttingProxy> {
  const heads: string[] = [];
  const requestLines: string[] = [];
  const sockets = new Set<Socket>();
  const finishers = new Set<() => void>();
  let sent = "";
  let allowance = Number.POSITIVE_INFINITY;
  let holding: RegExp | undefined;
  let held = 0;

  const proxy = createServer((client) => {
    const server = connect(targetPort, "127.0.0.1");
    let head = "";
    let requestLine = "";
    let lost = false;
    const finish = () => {
      server.pause();
      client.end(LAST_CHUNK);
    };
    finishers.add(finish);
    for (const socket of [client, server]) {
      sockets.add(socket);
      // A reset is what this proxy is for; the close that follows it is enough.
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        finishers.delete(finish);
        client.destroy();
        server.destroy();
      });
    }
    client.on("data", (chunk) => {
      server.write(chunk);
      const text = chunk.toString("latin1");
      for (const [line] of text.matchAll(REQUEST_LINE)) {
        requestLine = line;
        requestLines.push(line);
      }
      if (head.includes("\r\n\r\n")) return;
      head += text;
      if (head.includes("\r\n\r\n")) heads.push(head);
    });
    server.on("data", (chunk) => {
      lost ||= !!holding?.test(requestLine);
      if (lost) {
        held += 1;
        return;
      }
      const part = chunk.subarray(0, allowance);
      sent += part.toString("utf8");
      client.write(part);
      allowance -= part.length;
      if (allowance > 0) return;
      allowance = Number.POSITIVE_INFINITY;
      server.destroy();
      client.end();
    });
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  onTestFinished(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });

  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    heads,
    requestLines,
    downstream: () => sent,
    cutAfter: (bytes) => {
      allowance = bytes;
    },
    finish: () => {
      for (const finish of finishers) finish();
    },
    hold: (requests) => {
      holding = requests;
    },
    release: () => {
      holding = undefined;
    },
    held: () => held,
  };
}

/** The `Last-Event-ID` that a request head carries. */
export function lastEventIdOf(head: string | undefined): string | undefined {
  return head?.match(/^last-event-id: *(.*?)\r$/im)?.[1];
}
