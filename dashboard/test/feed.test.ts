// What the store of live numbers takes in where several servers share a log, and so a topic.

import { expect, test } from "vitest";
import type { Sample, Stats } from "../src/answers.ts";
import type { Api } from "../src/api.ts";
import { createFeedStore } from "../src/feed.tsx";
import { sample } from "./sample.ts";

const of = (node: string, atSecs: number): Sample => ({ ...sample(atSecs), node });

/** A server that answers for its past. */
const serverNamed = (node: string) =>
  (async () =>
    ({
      node,
      everySecs: 1,
      samples: [of(node, 1), of(node, 2)],
    }) satisfies Stats) as unknown as Api;

test("shows the server that was asked, and not what others say of themselves", async () => {
  const store = createFeedStore();
  const { signal } = new AbortController();
  store.add(of("b", 3));
  await store.load(serverNamed("a"), signal);
  store.add(of("a", 3));
  store.add(of("b", 4));
  const seen = () => store.get().history.fine.map(({ node, timestamp }) => [node, timestamp]);
  const at = (atSecs: number) => of("a", atSecs).timestamp;
  expect(seen()).toEqual([
    ["a", at(1)],
    ["a", at(2)],
    ["a", at(3)],
  ]);
  // It is another after a restart, and is asked again.
  await store.load(serverNamed("c"), signal);
  store.add(of("a", 5));
  store.add(of("c", 5));
  expect(seen()).toEqual([
    ["c", at(1)],
    ["c", at(2)],
    ["c", at(5)],
  ]);
});
