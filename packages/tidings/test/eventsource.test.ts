// The EventSource against a plain server of ours on a real socket: each test says what the server answers to
// the first request, the second, and so on.

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { EventSource, type EventSourceInit } from "../src/eventsource.ts";

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const eventually = { timeout: 10_000, interval: 5 };

async function serve(...answers: Answer[]) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.push(request), answers.length) - 1];
    answer?.(response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

/** A stream that stays open after this text, or ends with it. */
function stream(text: string, ends = false, headers = {}): Answer {
  return (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream", ...headers });
    response.write(text);
    if (ends) response.end();
  };
}

function listen(url: string, init?: EventSourceInit, ...types: string[]) {
  const source = new EventSource(url, init);
  onTestFinished(() => source.close());
  const seen: string[] = [];
  source.onopen = () => seen.push("open");
  source.onerror = () => seen.push(`error ${source.readyState}`);
  for (const type of ["message", ...types]) {
    source.addEventListener(type, (event) => {
      const { data, lastEventId } = event as MessageEvent;
      seen.push(`${type} ${data} ${lastEventId}`);
    });
  }
  return { source, seen };
}

test("opens, dispatches by type, and says where it is", async () => {
  const server = await serve(stream("id: 1\ndata: a\n\nevent: other\ndata: b\n\n"));
  const { source, seen } = listen(server.url, {}, "other");
  expect([source.readyState, source.CONNECTING, EventSource.CONNECTING]).toEqual([0, 0, 0]);
  expect(source.url).toBe(`${server.url}/`);
  const origins: string[] = [];
  source.onmessage = ({ origin }) => origins.push(origin);
  await expect.poll(() => seen, eventually).toEqual(["open", "message a 1", "other b 1"]);
  expect(source.readyState).toBe(EventSource.OPEN);
  expect(origins).toEqual([server.url]);
  expect(server.requests[0]?.headers).toMatchObject({ accept: "text/event-stream" });
  expect(server.requests[0]?.headers["last-event-id"]).toBeUndefined();
});

test("reconnects with the last id, also one that came without data, and sends it as UTF-8", async () => {
  const server = await serve(
    stream("retry: 1\nid: 1\ndata: a\n\nid: é\n\n", true),
    stream("data: b\n\n"),
  );
  const { seen } = listen(server.url);
  const whole = ["open", "message a 1", "error 0", "open", "message b "];
  await expect.poll(() => seen, eventually).toEqual(whole);
  const sent = server.requests[1]?.headers["last-event-id"] as string;
  expect(Buffer.from(sent, "latin1").toString("utf8")).toBe("é");
});

test("waits the reconnection time that the stream asked for", async () => {
  const server = await serve(stream("retry: 300\n\n", true), stream("data: b\n\n"));
  const { seen } = listen(server.url);
  await expect.poll(() => seen, eventually).toContain("error 0");
  const began = performance.now();
  await expect.poll(() => server.requests.length, eventually).toBe(2);
  expect(performance.now() - began).toBeGreaterThan(250);
});

test("reconnects after a connection that broke in mid-event, and drops the half", async () => {
  const server = await serve((response) => {
    stream("retry: 1\nid: 1\ndata: a\n\nid: 2\ndata: half")(response, {} as IncomingMessage);
    setTimeout(() => response.destroy(), 50);
  }, stream("data: b\n\n"));
  const { seen } = listen(server.url);
  await expect.poll(() => seen.at(-1), eventually).toBe("message b ");
  expect(seen).toEqual(["open", "message a 1", "error 0", "open", "message b "]);
  expect(server.requests[1]?.headers["last-event-id"]).toBe("1");
});

const failing: [name: string, answer: Answer][] = [
  ["204", (response) => response.writeHead(204).end()],
  ["401", (response) => response.writeHead(401).end()],
  ["404", (response) => response.writeHead(404).end()],
  ["500", (response) => response.writeHead(500).end()],
  [
    "503",
    (response) =>
      response.writeHead(503, { "Content-Type": "text/event-stream" }).end("data: a\n\n"),
  ],
  [
    "another content type",
    (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("data: a\n\n"),
  ],
  ["no content type", (response) => response.writeHead(200).end("data: a\n\n")],
];
test.each(failing)("fails for good on %s", async (_, answer) => {
  const server = await serve(answer);
  const { source, seen } = listen(server.url);
  await expect.poll(() => seen, eventually).toEqual(["error 2"]);
  expect(source.readyState).toBe(EventSource.CLOSED);
  expect(server.requests.length).toBe(1);
});

test("takes the content type in any case and with parameters", async () => {
  const type = { "Content-Type": "Text/Event-Stream; Charset=utf-8" };
  const server = await serve(stream("data: a\n\n", false, type));
  const { seen } = listen(server.url);
  await expect.poll(() => seen, eventually).toEqual(["open", "message a "]);
});

test("follows redirects, and names the origin that the stream came from", async () => {
  const target = await serve(stream("data: a\n\n"));
  const server = await serve((response) => response.writeHead(307, { Location: target.url }).end());
  const { source, seen } = listen(server.url);
  const origins: string[] = [];
  source.addEventListener("message", (event) => origins.push((event as MessageEvent).origin));
  await expect.poll(() => seen, eventually).toEqual(["open", "message a "]);
  expect(origins).toEqual([target.url]);
});

test("sends the headers it was given and uses the fetch it was given", async () => {
  const asked: RequestInit[] = [];
  const server = await serve(stream("data: a\n\n"));
  const { source, seen } = listen(server.url, {
    headers: { Authorization: "Bearer t" },
    withCredentials: true,
    fetch: (input, init) => {
      asked.push(init ?? {});
      return fetch(input, init);
    },
  });
  await expect.poll(() => seen, eventually).toEqual(["open", "message a "]);
  expect(source.withCredentials).toBe(true);
  expect(asked).toMatchObject([{ credentials: "include", cache: "no-store" }]);
  expect(server.requests[0]?.headers.authorization).toBe("Bearer t");
});

test("dispatches nothing after close, not even what was already read", async () => {
  const server = await serve(stream("data: a\n\ndata: b\n\n"));
  const { source, seen } = listen(server.url);
  source.addEventListener("message", () => source.close());
  await expect.poll(() => seen, eventually).toEqual(["open", "message a "]);
  expect(source.readyState).toBe(EventSource.CLOSED);
  await expect.poll(() => server.requests[0]?.socket.destroyed, eventually).toBe(true);
  expect(seen).toEqual(["open", "message a "]);
});

test("does not reconnect when the error's handler closes it", async () => {
  const server = await serve(stream("retry: 1\n\n", true));
  const { source, seen } = listen(server.url);
  source.onerror = () => source.close();
  await expect.poll(() => source.readyState, eventually).toBe(EventSource.CLOSED);
  expect([seen, server.requests.length]).toEqual([["open"], 1]);
});

test("has handlers that can be read, replaced in place, and taken away", async () => {
  const server = await serve(stream("data: a\n\n"));
  const source = new EventSource(server.url);
  onTestFinished(() => source.close());
  const order: string[] = [];
  expect(source.onmessage).toBeNull();
  source.onmessage = () => order.push("replaced");
  source.addEventListener("message", () => order.push("listener"));
  const handler = () => order.push("handler");
  source.onmessage = handler;
  source.onopen = () => order.push("never");
  source.onopen = null;
  expect(source.onmessage).toBe(handler);
  await expect.poll(() => order, eventually).toEqual(["handler", "listener"]);
});

test("refuses what is no URL with a SyntaxError", () => {
  expect(() => new EventSource("/relative")).toThrow(
    expect.objectContaining({ name: "SyntaxError" }),
  );
});
