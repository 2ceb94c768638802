// Runs an example beside Tidings: makes up the secrets that both need, starts both, and ends both when
// one of them ends. For trying things out; nothing here is how one deploys.
//
//   node examples/run.mjs nextjs                Tidings decrypts the session cookie itself
//   node examples/run.mjs nextjs --introspect   Tidings asks the application
//   node examples/run.mjs any-backend
//   node examples/run.mjs plain

import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const APP_URL = "http://localhost:3000";
const TIDINGS_URL = "http://localhost:4000";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [example, ...flags] = process.argv.slice(2);
const authSecret = randomBytes(32).toString("base64");
const tokenSecret = randomBytes(32).toString("base64");
const apiKey = `tk_${randomBytes(32).toString("hex")}`;

const introspect = (path, cookie) => ({
  TIDINGS_AUTH__SESSION__INTROSPECT__URL: `${APP_URL}${path}`,
  TIDINGS_AUTH__SESSION__INTROSPECT__COOKIES: cookie,
});

/** By example: what to run, what it must be told, how Tidings learns whose a session is, and how to begin. */
const examples = {
  nextjs: {
    command: () => {
      const next = createRequire(here("nextjs/package.json")).resolve("next/dist/bin/next");
      return [next, "dev", "--hostname", "localhost"];
    },
    usesPackage: true,
    environment: {
      AUTH_SECRET: authSecret,
      AUTH_URL: APP_URL,
      NEXT_TELEMETRY_DISABLED: "1",
      TIDINGS_TOKEN_SECRET: tokenSecret,
    },
    sessions: flags.includes("--introspect")
      ? introspect("/api/tidings/session", "authjs.session-token")
      : { TIDINGS_AUTH__SESSION__AUTHJS__SECRETS: authSecret },
  },
  "any-backend": {
    command: () => ["server.mjs"],
    environment: {},
    sessions: introspect("/tidings/session", "sid"),
  },
  plain: {
    command: () => ["server.mjs"],
    usesPackage: true,
    environment: {},
    sessions: {},
    begin: "in two windows",
  },
};

const chosen = Object.hasOwn(examples, example ?? "") ? examples[example] : undefined;
if (!chosen) {
  process.stderr.write(`usage: node run.mjs ${Object.keys(examples).join("|")} [--introspect]\n`);
  process.exit(2);
}

if (chosen.usesPackage) {
  const { status } = spawnSync(process.execPath, [here("build-package.mjs")], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

const built = ["release", "debug"].map((kind) => here(`../target/${kind}/tidings`));
const tidings = process.env.TIDINGS_BIN ?? built.find(existsSync) ?? "tidings";

start(tidings, ["serve", "--dev"], here("."), {
  TIDINGS_API_KEY: apiKey,
  TIDINGS_TOKEN_SECRET: tokenSecret,
  TIDINGS_CORS__ORIGINS: APP_URL,
  ...chosen.sessions,
});
start(process.execPath, chosen.command(), here(example), {
  TIDINGS_API_KEY: apiKey,
  TIDINGS_URL,
  ...chosen.environment,
});
const begin = chosen.begin ?? "and sign in as ada or grace";
process.stdout.write(`\n${example}: open ${APP_URL} ${begin}. Ctrl-C ends it.\n\n`);

// Ctrl-C reaches all three; this one waits for the others.
process.on("SIGINT", () => {});

function start(program, parameters, cwd, environment) {
  const { HOME, PATH } = process.env;
  const child = spawn(program, parameters, {
    cwd,
    env: { HOME, PATH, ...environment },
    stdio: ["ignore", "inherit", "inherit"],
  });
  child.once("error", ({ message }) => {
    process.stderr.write(`cannot start ${program}: ${message}\n`);
    process.stderr.write("`cargo build` makes tidings; or name the binary in TIDINGS_BIN\n");
    process.exit(1);
  });
  const stop = () => child.kill();
  process.once("SIGTERM", stop).once("exit", stop);
  child.once("exit", (code) => process.exit(code ?? 0));
}
