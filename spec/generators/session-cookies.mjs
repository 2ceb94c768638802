// Writes ../vectors/session-cookies.json with the packages that make such cookies in the wild. They
// are no dependencies of this repository; to make the file anew, in an empty folder:
//
//   npm init -y && npm install --ignore-scripts @auth/core@0.34.3 next-auth@4.24.15
//   node .../spec/generators/session-cookies.mjs > .../spec/vectors/session-cookies.json
//
// Each cookie is read back by the package that made it before it is written.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const here = join(process.cwd(), "node_modules");
const require = createRequire(join(here, "here.js"));
const authjs = await import(pathToFileURL(join(here, "@auth/core/jwt.js")).href);
const { SessionStore: StoreOf5 } = await import(
  pathToFileURL(join(here, "@auth/core/lib/utils/cookie.js")).href
);
const nextauth = require("next-auth/jwt");
const { SessionStore: StoreOf4 } = require(join(here, "next-auth/core/lib/cookie.js"));

const SECRET = "kK4Q1XwcT7Rk0Wq6mSs9yZt2vB8nE3uH5jL1pD6fGaI=";
const OLD_SECRET = "Zy8Xw3Vu6Ts1Rq4Po9Nm2Lk7Ji0Hg5Fe8Dc3Ba6Qz1o=";
const MAX_AGE_SECS = 30 * 24 * 60 * 60;
const HOST_5 = "__Secure-authjs.session-token";
const PLAIN_5 = "authjs.session-token";
const HOST_4 = "__Secure-next-auth.session-token";
const PLAIN_4 = "next-auth.session-token";
const quiet = { debug() {}, warn() {}, error() {} };

const makers = {
  "auth.js 5": {
    store: (name) => new StoreOf5({ name, options: {} }, {}, quiet),
    make: (token, secret, salt) => authjs.encode({ token, secret, salt, maxAge: MAX_AGE_SECS }),
    read: (token, secret, salt) => authjs.decode({ token, secret, salt }),
  },
  "nextauth 4": {
    store: (name) => new StoreOf4({ name, options: {} }, { cookies: {} }, quiet),
    make: (token, secret) => nextauth.encode({ token, secret, maxAge: MAX_AGE_SECS }),
    read: (token, secret) => nextauth.decode({ token, secret }),
  },
};

/** The `Cookie` header of a browser that was given this session under this name, and its `exp`. */
async function cookie(version, name, claims, secret = SECRET) {
  const maker = makers[version];
  const token = await maker.make(claims, secret, name);
  const read = await maker.read(token, secret, name);
  assert.equal(read.sub, claims.sub);
  const chunks = maker.store(name).chunk(token, {});
  return { header: chunks.map(({ name, value }) => `${name}=${value}`).join("; "), exp: read.exp };
}

const cases = [];
async function add(name, version, cookieName, claims, more = {}) {
  const { made = {}, secrets = [SECRET], rename, userClaim, afterSecs = 60, ...expected } = more;
  let { header, exp } = await cookie(version, cookieName, claims, made.secret);
  if (rename) header = header.replaceAll(cookieName, rename);
  cases.push({
    name,
    madeBy: version,
    secrets,
    ...(userClaim ? { userClaim } : {}),
    cookie: header,
    nowMs: (exp - MAX_AGE_SECS + afterSecs) * 1000,
    ...(expected.refused
      ? expected
      : { user: claims[userClaim ?? "sub"], expMs: exp * 1000, ...expected }),
  });
}

const ada = { name: "Ada", email: "ada@example.com", sub: "42" };
const big = { ...ada, groups: Array.from({ length: 400 }, (_, n) => `group-${n}-of-the-shop`) };
for (const [version, names] of [
  ["auth.js 5", [HOST_5, PLAIN_5]],
  ["nextauth 4", [HOST_4, PLAIN_4]],
]) {
  for (const cookieName of names) {
    await add(`reads ${version} under ${cookieName}`, version, cookieName, ada);
    await add(`joins the pieces of ${version} under ${cookieName}`, version, cookieName, big);
  }
  const cookieName = names[0];
  await add(`reads what the old secret made, ${version}`, version, cookieName, ada, {
    made: { secret: OLD_SECRET },
    secrets: [SECRET, OLD_SECRET],
  });
  await add(`refuses what another secret made, ${version}`, version, cookieName, ada, {
    made: { secret: OLD_SECRET },
    refused: "encryption",
  });
  await add(`takes a session to its last second, ${version}`, version, cookieName, ada, {
    afterSecs: MAX_AGE_SECS - 1,
  });
  await add(`refuses a session from its last second on, ${version}`, version, cookieName, ada, {
    afterSecs: MAX_AGE_SECS,
    refused: "expired",
  });
  await add(`keeps a strange user's id, ${version}`, version, cookieName, {
    ...ada,
    sub: "a/b*%2F..\u00fc",
  });
  await add(
    `takes the user from another claim, ${version}`,
    version,
    cookieName,
    { ...ada, id: "u-7" },
    {
      userClaim: "id",
    },
  );
  await add(`refuses a session without the claim, ${version}`, version, cookieName, ada, {
    userClaim: "id",
    refused: "user",
  });
  await add(
    `refuses a session whose user is a number, ${version}`,
    version,
    cookieName,
    { ...ada, id: 7 },
    {
      userClaim: "id",
      refused: "user",
    },
  );
  await add(
    `takes the session's id where there is one, ${version}`,
    version,
    cookieName,
    {
      ...ada,
      sid: "session-1",
    },
    { sid: "session-1" },
  );
}
await add("refuses auth.js 5 under another name", "auth.js 5", HOST_5, ada, {
  rename: PLAIN_5,
  refused: "encryption",
});
await add("reads nextauth 4 under another name", "nextauth 4", HOST_4, ada, { rename: PLAIN_4 });

const version = (name) => JSON.parse(readFileSync(join(here, name, "package.json"))).version;
const about =
  "Session cookies as the real packages make them, and what is read from them: " +
  `@auth/core ${version("@auth/core")}, next-auth ${version("next-auth")}.`;
const ascii = (value) =>
  JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
const rows = cases.map((row) => `    ${ascii(row)}`).join(",\n");
process.stdout.write(`{\n  "about": ${ascii(about)},\n  "cases": [\n${rows}\n  ]\n}\n`);
