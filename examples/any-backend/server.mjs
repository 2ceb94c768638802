// A backend of no particular kind: sessions of its own in a map, an opaque cookie, no packages. Tidings
// cannot read such a cookie, so it asks `GET /tidings/session` whose it is.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const PORT = Number(process.env.PORT ?? 3000);
const ORIGIN = `http://localhost:${PORT}`;
const TIDINGS_URL = process.env.TIDINGS_URL ?? "http://localhost:4000";
const TIDINGS_TIMEOUT_MS = 3_000;

const COOKIE = "sid";
const SESSION_MS = 8 * 3_600_000;
const SESSIONS_MAX = 10_000;
const FORM_BYTES_MAX = 4_096;

// For trying things out only: a real backend has its users elsewhere, with hashed passwords.
const DEMO_USERS = new Map([
  ["ada", { name: "Ada", password: "ada" }],
  ["grace", { name: "Grace", password: "grace" }],
]);

/** What the cookie's value leads to: `{ userId, publicId, expiresAt }`. */
const sessions = new Map();

const PAGE = readFileSync(new URL("page.html", import.meta.url), "utf8");

const routes = {
  "GET /": (request, response) => {
    const userId = sessionOf(request)?.userId;
    const facts = { tidingsUrl: TIDINGS_URL, userId, name: DEMO_USERS.get(userId)?.name };
    // As JSON in a script, in which `<` could end the script.
    const json = JSON.stringify(facts).replaceAll("<", "\\u003c");
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(PAGE.replace('"{{FACTS}}"', () => json));
  },

  "POST /sign-in": async (request, response) => {
    const form = await formOf(request);
    const userId = form.get("user") ?? "";
    if (DEMO_USERS.get(userId)?.password !== form.get("password")) {
      return redirect(response, "/?failed");
    }
    const secret = randomBytes(32).toString("base64url");
    const publicId = randomBytes(16).toString("hex");
    sessions.set(secret, { userId, publicId, expiresAt: Date.now() + SESSION_MS });
    if (sessions.size > SESSIONS_MAX) sessions.delete(sessions.keys().next().value);
    setCookie(response, secret, SESSION_MS / 1_000);
    redirect(response, "/");
  },

  "POST /sign-out": async (request, response) => {
    const session = sessionOf(request);
    sessions.delete(cookieOf(request));
    setCookie(response, "", 0);
    // The streams that the cookie has opened end within a second. Should Tidings be out of reach, they
    // end when it next asks for the session.
    if (session) await tellTidings("/api/revocations", { session: session.publicId });
    redirect(response, "/");
  },

  "POST /notify": async (request, response) => {
    const session = sessionOf(request);
    if (!session) return redirect(response, "/");
    const title = (await formOf(request)).get("title") ?? "";
    const data = { title, sentAt: Date.now() };
    const event = { user: session.userId, type: "notification", data };
    const taken = await tellTidings("/api/events", event);
    response.writeHead(taken ? 204 : 502).end();
  },

  // The whole of what Tidings needs to be told. It sends the cookies of whoever wants a stream. The
  // id of the session is not the cookie's value: it is no secret, and may be logged.
  "GET /tidings/session": (request, response) => {
    const session = sessionOf(request);
    if (!session) return response.writeHead(401).end();
    const { userId, publicId, expiresAt } = session;
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ userId, sessionId: publicId, expiresAt }));
  },
};

createServer(async (request, response) => {
  response.setHeader("Cache-Control", "no-store");
  response.setHeader("Referrer-Policy", "same-origin");
  try {
    const route = routes[`${request.method} ${request.url.split("?")[0]}`];
    if (!route) return response.writeHead(404).end("There is nothing here.\n");
    // What changes something comes from a page of ours, or not at all.
    if (request.method === "POST" && request.headers.origin !== ORIGIN) {
      return response.writeHead(403).end(`Forms are taken from ${ORIGIN} alone.\n`);
    }
    await route(request, response);
  } catch (error) {
    process.stderr.write(`${request.method} ${request.url.split("?")[0]} failed: ${error}\n`);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
}).listen(PORT, "localhost", () => process.stdout.write(`listening on ${ORIGIN}\n`));

function sessionOf(request) {
  const session = sessions.get(cookieOf(request));
  return session && session.expiresAt > Date.now() ? session : undefined;
}

function cookieOf(request) {
  for (const pair of (request.headers.cookie ?? "").split(";")) {
    const [name, value] = pair.trim().split("=");
    if (name === COOKIE) return value;
  }
}

/** A site that is served by HTTPS adds `Secure`. */
function setCookie(response, value, ageSecs) {
  const attributes = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${ageSecs}`;
  response.setHeader("Set-Cookie", `${COOKIE}=${value}; ${attributes}`);
}

function redirect(response, to) {
  response.writeHead(303, { Location: to }).end();
}

async function formOf(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > FORM_BYTES_MAX) throw new Error("a form is too large");
  }
  return new URLSearchParams(text);
}

/** Whether Tidings has done what it was asked to; the log says why not. */
async function tellTidings(path, body) {
  try {
    const answer = await fetch(`${TIDINGS_URL}${path}`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${process.env.TIDINGS_API_KEY}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIDINGS_TIMEOUT_MS),
    });
    if (answer.ok) return true;
    process.stderr.write(
      `Tidings answered ${path} with ${answer.status}: ${await answer.text()}\n`,
    );
  } catch (error) {
    process.stderr.write(`Tidings cannot be reached for ${path}: ${error}\n`);
  }
  return false;
}
