// Figures and foreign text as people read them, row by row.

import { expect, test } from "vitest";
import {
  bytes,
  count,
  duration,
  fromNow,
  milliseconds,
  plain,
  rate,
  shortened,
} from "../src/format.ts";

test.each<[unknown, string]>([
  [count(0), "0"],
  [count(1234567), "1,234,567"],
  [count(9_999_999), "9,999,999"],
  [count(12_345_678), "12.3 M"],
  [count(999_960_000), "1.0 G"],
  [count(null), "–"],
  [count(Number.NaN), "–"],
  [rate(0), "0"],
  [rate(0.25), "0.3"],
  [rate(9.94), "9.9"],
  [rate(9.96), "10"],
  [rate(512.4), "512"],
  [milliseconds(0.1234).join(" "), "0.12 ms"],
  [milliseconds(9.949).join(" "), "9.95 ms"],
  [milliseconds(9.951).join(" "), "10.0 ms"],
  [milliseconds(99.6).join(" "), "100 ms"],
  [milliseconds(999.6).join(" "), "1.00 s"],
  [milliseconds(null).join(""), "–"],
  [bytes(0), "0 B"],
  [bytes(1023), "1,023 B"],
  [bytes(1536), "1.5 KiB"],
  [bytes(1024 * 1024 - 1), "1.0 MiB"],
  [duration(0), "0 s"],
  [duration(59.9), "59 s"],
  [duration(200), "3 min 20 s"],
  [duration(7200), "2 h"],
  [duration(7201), "2 h"],
  [duration(90_061), "1 d 1 h"],
  [fromNow(1_000_000, 1_000_400), "now"],
  [fromNow(1_240_000, 1_000_000), "in 4 min"],
  [fromNow(1_000_000, 1_061_000), "1 min 1 s ago"],
])("%s", (shown, expected) => {
  expect(shown).toBe(expected);
});

test("what would turn the direction of writing, or hides, stands there by its number", () => {
  expect(plain("a\u202Egpj.exe")).toBe("a[U+202E]gpj.exe");
  expect(plain("a\u200bb\ufeff\u0000\u001b[31m")).toBe("a[U+200B]b[U+FEFF][U+0000][U+001B][31m");
  expect(plain("lines\nand\ttabs, שלום, 👩‍🚀")).toBe("lines\nand\ttabs, שלום, 👩‍🚀");
  expect(plain("<b onclick='x'>&amp;</b>")).toBe("<b onclick='x'>&amp;</b>");
});

test("a text is cut between characters", () => {
  expect(shortened("abc", 3)).toEqual(["abc", 0]);
  expect(shortened("abcd", 3)).toEqual(["abc", 1]);
  expect(shortened("ab👩cd", 3)).toEqual(["ab", 4]);
});
