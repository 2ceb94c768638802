// Whose session is it? Tidings asks with the cookies of whoever wants a stream, when it runs with
// `[auth.session.introspect]`; the page `/session` asks when its stream has ended for good.

import { auth } from "@/auth";

export async function GET(): Promise<Response> {
  const session = await auth();
  const headers = { "Cache-Control": "no-store" };
  if (!session) return new Response(null, { status: 401, headers });
  const { user, sessionId, expires } = session;
  return Response.json({ userId: user.id, sessionId, expiresAt: Date.parse(expires) }, { headers });
}
