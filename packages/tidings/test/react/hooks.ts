// What the tests of the hooks share: a world whose clock moves inside React's `act`, and the blocks and addresses
// of a hub. Knows no hook.

import { act, cleanup } from "@testing-library/react";
import { version } from "react";
import { afterEach, beforeAll, expect } from "vitest";
import { type Answer, block, connected, createWorld, type Script, type World } from "../world.ts";

export const SSE = "http://hub.test/api/sse";
export const POLLING = "http://hub.test/api/polling";

beforeAll(() => {
  // The React under test is the one that was asked for; see `vitest.config.ts`.
  expect(version.split(".")[0]).toBe(process.env.TIDINGS_TEST_REACT ?? "19");
});
afterEach(cleanup);

/** A stream that stays open, with more after its first block. */
export const open = (...more: [atMs: number, text: string][]): Answer => ({
  body: [[0, connected()], ...more],
});

/** An event whose data is its position, unless given. */
export const event = (position: number, type = "message", data: unknown = position): string =>
  block(type, data, `k7q2m9x1-${position}`);

export interface HookWorld extends World {
  /** Moves the clock, and lets React render what came of it. */
  pass(ms: number): Promise<void>;
}

export function world(script: Script): HookWorld {
  const made = createWorld(script);
  return { ...made, pass: (ms) => act(() => made.advance(ms)) };
}

/** A connection is let go of in the turn after the unmounting, because React mounts again where it means neither. */
export async function letGo(): Promise<void> {
  // Timers of the same wait end in the order in which they were begun.
  await act(() => new Promise((resolve) => setTimeout(resolve, 0)));
}
