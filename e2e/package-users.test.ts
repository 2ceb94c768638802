// What `useRealTimeUpdates` says is so, in Chromium and against the real server, while tokens run out and users
// are revoked: the phases that each row went through, and every event once.

import { expect, test } from "vitest";
import { begin, end, eventually, prepareHooks, publish, STREAMS, token } from "./hook.ts";

const { open } = prepareHooks();

const nowSecs = () => Math.floor(Date.now() / 1_000);

test("a token that runs out in mid-stream: nobody notices", async () => {
  let tokens = 0;
  const getToken = () => {
    tokens += 1;
    return token({ until: nowSecs() + (tokens === 1 ? 10 : 600) });
  };
  const hook = await open({ getToken });
  await hook.until("sse");
  let count = 0;
  // One after the other, until the page has had its new token for a while.
  for (let after = 0; after < 20; after += tokens > 1 ? 1 : 0) {
    await publish(hook.server, count);
    count += 1;
    await hook.page.waitForFunction((count) => window.mounted.seen.length >= count, count);
  }
  expect(await hook.seen()).toEqual(Array.from({ length: count }, (_, i) => i));
  expect([tokens, await hook.phases()]).toEqual([2, "loading → sse"]);
});

test("a token that runs out when there is no other: the reason, and the stream when there is", async () => {
  let signedIn = true;
  let tokens = 0;
  const getToken = () => {
    if (!signedIn) throw new Error("nobody is signed in");
    tokens += 1;
    return token({ until: nowSecs() + (tokens === 1 ? 4 : 600) });
  };
  const hook = await open({ getToken });
  await begin(hook);
  signedIn = false;
  await publish(hook.server, 2);
  const error = async () => (await hook.last())?.error;
  await expect.poll(error, eventually).toMatchObject({ kind: "token" });
  expect((await error())?.message).toContain("nobody is signed in");
  await publish(hook.server, 3);
  signedIn = true;
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["closing expired", "token"]);
});

test("no token at first: the reason, and then what was published meanwhile", async () => {
  let signedIn = false;
  const getToken = () => {
    if (!signedIn) throw new Error("nobody is signed in");
    return token();
  };
  const hook = await open({ getToken });
  await hook.until("waiting");
  await publish(hook.server, 1, 2, 3);
  signedIn = true;
  await end(hook);
  expect(await hook.phases()).toBe("loading → waiting → sse");
  expect(await hook.errors()).toEqual(["token"]);
});

test("a user who is revoked and has no other token: the end, until they sign in again", async () => {
  let current = token();
  const hook = await open({ getToken: () => current });
  await begin(hook);
  const asked = () => hook.proxy.requestLines.filter((line) => STREAMS.test(line)).length;
  expect(asked()).toBe(1);
  await hook.server.post("/api/revocations", { user: "ada" });
  const revokedSecs = nowSecs();
  await publish(hook.server, 2, 3);
  await hook.until("closed");
  expect((await hook.last())?.error).toMatchObject({ status: 401, code: "revoked" });
  expect(await hook.phases()).toBe("loading → sse → waiting → closed");
  expect(await hook.errors()).toEqual(["closing revoked", "status revoked"]);
  // With what the application gave when the stream was closed, and with what it gave when that was refused.
  expect(asked()).toBe(3);

  // Users are revoked up to a second; a token of a later one is good.
  await expect.poll(nowSecs, eventually).toBeGreaterThan(revokedSecs);
  current = token();
  await hook.reconnect();
  await end(hook);
  expect(await hook.phases()).toMatch(/ → closed → loading → sse$/);
  expect(asked()).toBe(4);
});

test("a user who is revoked and gets a fresh token: back after a wait", async () => {
  const hook = await open();
  await begin(hook);
  await hook.server.post("/api/revocations", { user: "ada" });
  await publish(hook.server, 2, 3);
  await end(hook);
  expect(await hook.phases()).toBe("loading → sse → waiting → sse");
  expect(await hook.errors()).toEqual(["closing revoked"]);
});
