// Tokens taken apart and judged without a key, against tokens that a library signed.

import { SignJWT } from "jose";
import { expect, test } from "vitest";
import { decode } from "../src/token/decode.ts";
import { grantOf, judge } from "../src/token/judge.ts";

const NOW = 1_795_458_000;
const GOOD = { aud: "tidings", sub: "42", iat: NOW - 60, exp: NOW + 240, jti: "a1" };

function signed(claims: Record<string, unknown>, header: Record<string, unknown> = {}) {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", typ: "tidings+jwt", ...header })
    .sign(new TextEncoder().encode("a secret of thirty-two bytes, or more"));
}

async function judged(claims: Record<string, unknown>, header = {}) {
  const decoded = decode(await signed(claims, header));
  if ("fault" in decoded) throw new Error(decoded.fault);
  return judge(decoded, NOW * 1000)
    .filter(({ tone }) => tone !== "good")
    .map(({ words }) => words);
}

test("a good token is read whole, with what surrounds it when it is copied", async () => {
  const token = await signed({ ...GOOD, sub: "grüße/42", meta: { a: [1, "😀"] } });
  for (const text of [token, `  ${token}\n`, `Bearer ${token}`]) {
    expect(decode(text)).toEqual({
      header: { alg: "HS256", typ: "tidings+jwt" },
      claims: { ...GOOD, sub: "grüße/42", meta: { a: [1, "😀"] } },
      signatureBytes: 32,
    });
  }
  expect(await judged(GOOD)).toEqual([]);
});

test.each([
  ["a.b", "three parts"],
  ["", "three parts"],
  ["a!.e30.x", "first part is not Base64url"],
  ["e30.e30.x", "third part is not Base64url"],
  ["bm8.e30.xx", "first part is not JSON"],
  ["e30.W10.xx", "second part is JSON, but no object"],
  ["e30.bnVsbA.xx", "second part is JSON, but no object"],
  ["e30.gICA.xx", "second part is not JSON"],
])("%s is no token", (text, why) => {
  expect(decode(text)).toEqual({ fault: expect.stringContaining(why) });
});

test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
  ["expired 1 min ago", { exp: NOW - 60 }, {}],
  ["exp must be a number", { exp: String(NOW + 60) }, {}],
  ["issued in the future: in 1 h", { iat: NOW + 3600, exp: NOW + 3660 }, {}],
  ["lasts 2 d", { iat: NOW, exp: NOW + 172_800 }, {}],
  ["good only in 1 h", { nbf: NOW + 3600 }, {}],
  ["had to end 1 s ago", { until: NOW - 1 }, {}],
  ['It is for "other"', { aud: "other" }, {}],
  ["names no user", { sub: "" }, {}],
  ["longer than 64 bytes", { sub: "ü".repeat(11) }, {}],
  ["no id of its own", { jti: undefined }, {}],
  ["subscribe must be a list", { subscribe: "orders/*" }, {}],
  ["publish has more than 100", { publish: Array(101).fill("a") }, {}],
  ['type is "JWT"', {}, { typ: "JWT" }],
])("a token is found out: %s", async (words, claims, header) => {
  expect(await judged({ ...GOOD, ...claims }, header)).toEqual([expect.stringContaining(words)]);
});

test("the grant is the default topics and what it names", () => {
  const claims = { ...GOOD, sub: "a/b!", subscribe: ["orders/*", 7], publish: ["chat/7"] };
  expect(grantOf(claims)).toEqual({
    subscribe: ["user/a%2Fb%21", "broadcast", "orders/*"],
    publish: ["chat/7"],
    admin: false,
  });
  expect(grantOf({ role: "admin" })).toEqual({ subscribe: [], publish: [], admin: true });
});
