// Tokens for the application's users: signed and checked with the secret that is shared with the server. Which
// claims there are is the protocol's; how a JWT is made is jose's.

import { errors, jwtVerify, SignJWT } from "jose";
import { fromEnvironment } from "./env.ts";

/** What marks a token of ours, so that no JWT made for something else is taken for one. */
const TYPE = "tidings+jwt";
const ALGORITHM = "HS256";
const AUDIENCE_DEFAULT = "tidings";
/** Tokens end up in logs, and one only has to last until the client has connected. */
const LIFE_SECS_DEFAULT = 300;
const SECRET_BYTES_MIN = 32;

/** What both who signs and who checks must know. */
export interface TokenSecretOptions {
  /** The secret shared with the server, at least 32 bytes; `TIDINGS_TOKEN_SECRET` unless given. */
  secret?: string | Uint8Array;
  /** The server's `tokens.audience`; `tidings` unless given. */
  audience?: string;
  /** The server's `tokens.issuer`, if it has one. */
  issuer?: string;
}

/** What a token allows, and for how long. */
export interface GenerateTokenOptions extends TokenSecretOptions {
  /** How long the token may be used to connect, seconds; 300 unless given. */
  expiresInSecs?: number;
  /** Until when a stream may live. Without it, as long as the server lets streams live. */
  until?: Date;
  /** Topics and patterns the user may subscribe to, beside their own and `broadcast`. */
  subscribe?: readonly string[];
  /** Topics and patterns the user may publish to. */
  publish?: readonly string[];
  /** The application's session that the token belongs to: revoking the session revokes the token. */
  sessionId?: string;
  role?: string;
}

/** What a token says. */
export interface SSEToken {
  readonly userId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tokenId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly until?: Date;
  readonly subscribe: readonly string[];
  readonly publish: readonly string[];
  readonly sessionId?: string;
  readonly role?: string;
}

/** A token for the user. `metadata` is at most 1 KiB of JSON; whoever holds the token can read it. */
export async function generateSSEToken(
  userId: string,
  metadata: Record<string, unknown> = {},
  options: GenerateTokenOptions = {},
): Promise<string> {
  if (!userId) throw new TypeError("a token needs the id of a user");
  const { subscribe, publish, sessionId, role, until, issuer } = options;
  const issuedAt = Math.floor(Date.now() / 1_000);
  const claims: Record<string, unknown> = {};
  if (Object.keys(metadata).length) claims.meta = metadata;
  if (subscribe) claims.subscribe = subscribe;
  if (publish) claims.publish = publish;
  if (sessionId) claims.sid = sessionId;
  if (role) claims.role = role;
  if (until) claims.until = Math.floor(until.getTime() / 1_000);
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
    .setSubject(userId)
    .setAudience(options.audience ?? AUDIENCE_DEFAULT)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + (options.expiresInSecs ?? LIFE_SECS_DEFAULT))
    .setJti(crypto.randomUUID());
  if (issuer) token.setIssuer(issuer);
  return token.sign(secretOf(options));
}

/** What the token says, or `null` when it is not a token of ours, was changed, or is past its time. */
export async function verifySSEToken(
  token: string,
  options: TokenSecretOptions = {},
): Promise<SSEToken | null> {
  const secret = secretOf(options);
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: [ALGORITHM],
      typ: TYPE,
      audience: options.audience ?? AUDIENCE_DEFAULT,
      requiredClaims: ["sub", "iat", "exp", "jti"],
      ...(options.issuer ? { issuer: options.issuer } : {}),
    });
    const {
      sub = "",
      jti = "",
      iat = 0,
      exp = 0,
      meta,
      subscribe,
      publish,
      sid,
      role,
      until,
    } = payload;
    if (!sub || (until !== undefined && !(Number(until) * 1_000 > Date.now()))) return null;
    return {
      userId: sub,
      metadata: (meta as Record<string, unknown> | undefined) ?? {},
      tokenId: jti,
      issuedAt: new Date(iat * 1_000),
      expiresAt: new Date(exp * 1_000),
      subscribe: (subscribe as string[] | undefined) ?? [],
      publish: (publish as string[] | undefined) ?? [],
      ...(until === undefined ? {} : { until: new Date(Number(until) * 1_000) }),
      ...(sid === undefined ? {} : { sessionId: String(sid) }),
      ...(role === undefined ? {} : { role: String(role) }),
    };
  } catch (error) {
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}

function secretOf({
  secret = fromEnvironment("TIDINGS_TOKEN_SECRET"),
}: TokenSecretOptions): Uint8Array {
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  if (!bytes) throw new Error("no token secret: set TIDINGS_TOKEN_SECRET, or give `secret`");
  if (bytes.length < SECRET_BYTES_MIN) {
    throw new Error(`the token secret is shorter than ${SECRET_BYTES_MIN} bytes`);
  }
  return bytes;
}
