// What a token would be good for, by the rules of the protocol that need no key: whether its time has come, what it
// lacks, and what it would grant. Settings of the server may differ from the defaults that are assumed here.

import { duration, fromNow, plain } from "../format.ts";
import type { Decoded } from "./decode.ts";

const ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"];
const AUDIENCE = "tidings";
const LIFE_SECS_MAX = 86_400;
const LEEWAY_SECS = 60;
const USER_BYTES_MAX = 64;
const PATTERNS_MAX = 100;

export interface Finding {
  readonly tone: "good" | "warn" | "bad";
  readonly words: string;
}

export interface Grant {
  readonly subscribe: readonly string[];
  readonly publish: readonly string[];
  readonly admin: boolean;
}

export function judge({ header, claims }: Decoded, nowMs: number): Finding[] {
  const findings: Finding[] = [...times(claims, nowMs)];
  const bad = (words: string) => findings.push({ tone: "bad", words });
  const { alg, typ, crit } = header;
  if (!ALGORITHMS.includes(String(alg))) {
    bad(`Its algorithm is ${said(alg)}; it must be one of ${ALGORITHMS.join(", ")}.`);
  }
  if (!/^(application\/)?tidings\+jwt$/i.test(String(typ))) {
    bad(`Its type is ${said(typ)}; it must be tidings+jwt.`);
  }
  if (crit !== undefined) bad("Its header has crit, which is refused.");
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (!audiences.includes(AUDIENCE)) {
    findings.push({
      tone: "warn",
      words: `It is for ${said(claims.aud)}; the server expects ${AUDIENCE}, unless it was set otherwise.`,
    });
  }
  const user = userIn(claims);
  if (user === undefined) bad("It names no user: sub is missing.");
  else if (encodedUser(user).length > USER_BYTES_MAX) {
    bad(`The user's id is longer than ${USER_BYTES_MAX} bytes once encoded.`);
  }
  if (typeof claims.jti !== "string" || claims.jti === "") bad("It has no id of its own: jti.");
  for (const name of ["subscribe", "publish"]) {
    const list = claims[name];
    if (list === undefined) continue;
    const isList = Array.isArray(list) && list.every((pattern) => typeof pattern === "string");
    if (!isList) bad(`${name} must be a list of patterns.`);
    else if (list.length > PATTERNS_MAX) bad(`${name} has more than ${PATTERNS_MAX} patterns.`);
  }
  return findings;
}

function times(claims: Record<string, unknown>, nowMs: number): Finding[] {
  const findings: Finding[] = [];
  const bad = (words: string) => findings.push({ tone: "bad", words });
  const { exp, iat, nbf, until } = claims;
  if (typeof exp !== "number") bad("It has no end: exp must be a number of seconds.");
  else if (exp * 1000 <= nowMs) bad(`It expired ${fromNow(exp * 1000, nowMs)}.`);
  else findings.push({ tone: "good", words: `It expires ${fromNow(exp * 1000, nowMs)}.` });
  if (typeof iat !== "number") bad("It does not say when it was issued: iat.");
  else if (iat * 1000 > nowMs + LEEWAY_SECS * 1000) {
    bad(`It was issued in the future: ${fromNow(iat * 1000, nowMs)}.`);
  }
  if (typeof exp === "number" && typeof iat === "number" && exp - iat > LIFE_SECS_MAX) {
    bad(`It lasts ${duration(exp - iat)}, and at most a day is allowed unless set otherwise.`);
  }
  if (typeof nbf === "number" && nbf * 1000 > nowMs + LEEWAY_SECS * 1000) {
    bad(`It is good only ${fromNow(nbf * 1000, nowMs)}.`);
  }
  if (typeof until === "number") {
    const passed = until * 1000 <= nowMs;
    findings.push({
      tone: passed ? "bad" : "good",
      words: `Streams with it ${passed ? "had to end" : "end at the latest"} ${fromNow(until * 1000, nowMs)}.`,
    });
  }
  return findings;
}

/** What the server would let it do if it took it, with the default topics as they are unless set otherwise. */
export function grantOf(claims: Record<string, unknown>): Grant {
  const user = userIn(claims);
  const own = user === undefined ? [] : [`user/${encodedUser(user)}`, "broadcast"];
  return {
    subscribe: [...own, ...patternsIn(claims.subscribe)],
    publish: patternsIn(claims.publish),
    admin: claims.role === "admin",
  };
}

/** Claims that are times, which people read better in words. */
export const TIME_CLAIMS: readonly string[] = ["exp", "iat", "nbf", "until"];

function userIn({ sub }: Record<string, unknown>): string | undefined {
  return typeof sub === "string" && sub !== "" ? sub : undefined;
}

/** As the protocol encodes an id into one segment: everything but unreserved characters, in upper case. */
function encodedUser(user: string): string {
  return encodeURIComponent(user.replace(/\p{Surrogate}/gu, "\ufffd")).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function patternsIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((pattern) => typeof pattern === "string") : [];
}

function said(value: unknown): string {
  return value === undefined ? "missing" : plain(JSON.stringify(value));
}
