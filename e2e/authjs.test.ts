// Session cookies as the real packages make them, Auth.js 5 and NextAuth 4: the server must read what they
// encrypt, in one piece or in several, and nothing that was encrypted with another secret.

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { Auth, type AuthConfig, skipCSRFCheck } from "@auth/core";
import Credentials from "@auth/core/providers/credentials";
import { expect, test } from "vitest";
import { startServer } from "./server.ts";

// Not by `import`: its types bring those of Next.js along, which change what `process.env` is everywhere.
const { encode } = createRequire(import.meta.url)("next-auth-4/jwt") as {
  encode(given: { token: object; secret: string; maxAge: number }): Promise<string>;
};

const SESSION_SECS = 3_600;

/** Above what one cookie may hold, 4,096 bytes, and below what one may hold for the server, 8,192 in all. */
const LARGE_CHARACTERS = 4_500;

const newSecret = () => randomBytes(32).toString("base64");

/** A cookie jar's worth, as a `Cookie` header. */
type Cookies = string;

interface SignIn {
  secret: string;
  /** The address of the application: over HTTPS cookies have another name, and so another key. */
  url?: string;
  claims?: Record<string, unknown>;
}

/** Signs in to Auth.js 5 itself, and returns the session's cookies as a browser would send them. */
async function signInToAuthjs({ secret, url, claims = {} }: SignIn): Promise<Cookies> {
  const config: AuthConfig = {
    secret,
    trustHost: true,
    basePath: "/api/auth",
    skipCSRFCheck,
    session: { strategy: "jwt", maxAge: SESSION_SECS },
    providers: [Credentials({ credentials: {}, authorize: () => ({ id: "ada", name: "Ada" }) })],
    callbacks: { jwt: ({ token }) => ({ ...token, ...claims }) },
  };
  const request = new Request(`${url ?? "http://localhost:3000"}/api/auth/callback/credentials`, {
    method: "POST",
    body: new URLSearchParams({ name: "ada" }),
  });
  const answer = await Auth(request, config);
  const pairs = answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0] ?? "");
  const session = pairs.filter((pair) => pair.includes("session-token"));
  expect(session.length, `${answer.status} with ${pairs}`).toBeGreaterThan(0);
  return session.join("; ");
}

/** The cookie of NextAuth 4, by the function that makes it there. */
async function nextAuth4(secret: string, name = "next-auth.session-token"): Promise<Cookies> {
  const token = { sub: "ada", name: "Ada", sid: "s-1" };
  return `${name}=${await encode({ token, secret, maxAge: SESSION_SECS })}`;
}

interface Connected {
  user: string;
  method: string;
}

/** What a server with these secrets makes of the cookies: who has connected, or the status and code. */
async function opened(secrets: string[], cookie: Cookies): Promise<Connected | [number, string]> {
  const settings = { TIDINGS_AUTH__SESSION__AUTHJS__SECRETS: secrets.join(",") };
  const server = await startServer({ settings });
  const leave = new AbortController();
  const headers = { Cookie: cookie };
  const answer = await fetch(`${server.url}/api/sse`, { headers, signal: leave.signal });
  if (!answer.ok) return [answer.status, ((await answer.json()) as { code: string }).code];
  let text = "";
  for await (const piece of (answer.body ?? new ReadableStream()).pipeThrough(
    new TextDecoderStream(),
  )) {
    text += piece;
    if (text.includes("\n\n")) break;
  }
  leave.abort();
  return JSON.parse(text.match(/^data: (.*)$/m)?.[1] ?? "null") as Connected;
}

const ada = { user: "ada" };
const refused = [401, "unauthenticated"];

test.each([
  ["http://localhost:3000", "authjs.session-token="],
  ["https://app.example.com", "__Secure-authjs.session-token="],
])("a session of Auth.js 5 at %s opens the stream", async (url, name) => {
  const secret = newSecret();
  const cookie = await signInToAuthjs({ secret, url });
  expect(cookie).toMatch(new RegExp(`^${name}`));
  expect(await opened([secret], cookie)).toMatchObject(ada);
});

test("a session that Auth.js 5 has cut into pieces opens the stream, in any order of the pieces", async () => {
  const secret = newSecret();
  const claims = { padding: randomBytes(LARGE_CHARACTERS / 2).toString("hex") };
  const pieces = (await signInToAuthjs({ secret, claims })).split("; ");
  expect(pieces.map((piece) => piece.split("=")[0])).toEqual([
    "authjs.session-token.0",
    "authjs.session-token.1",
  ]);
  expect(await opened([secret], pieces.join("; "))).toMatchObject(ada);
  expect(await opened([secret], pieces.toReversed().join("; "))).toMatchObject(ada);
  expect(await opened([secret], pieces[0] ?? "")).toEqual(refused);
});

test.each(["next-auth.session-token", "__Secure-next-auth.session-token"])(
  "a session of NextAuth 4 in the cookie %s opens the stream",
  async (name) => {
    const secret = newSecret();
    expect(await opened([secret], await nextAuth4(secret, name))).toMatchObject(ada);
  },
);

test("a session from before the secret was rotated opens the stream, one of another secret does not", async () => {
  const [newest, old] = [newSecret(), newSecret()];
  const cookies = [await signInToAuthjs({ secret: old }), await nextAuth4(old)];
  for (const cookie of cookies) {
    expect(await opened([newest, old], cookie)).toMatchObject(ada);
    expect(await opened([newest], cookie)).toEqual(refused);
  }
});
