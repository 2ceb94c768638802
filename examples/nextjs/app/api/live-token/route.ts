// A token for the browser: who it is, and what they may listen to beside what is theirs anyway. It names
// the session, so that signing out ends the streams that were opened with it.

import { generateSSEToken } from "tidings/server";
import { auth } from "@/auth";

export async function GET(request: Request): Promise<Response> {
  const session = await auth();
  const headers = { "Cache-Control": "no-store" };
  // The page names the user that it was rendered for: somebody else may have signed in since.
  const wanted = new URL(request.url).searchParams.get("user");
  if (!session || session.user.id !== wanted) return new Response(null, { status: 401, headers });
  const { user, sessionId } = session;
  const token = await generateSSEToken(user.id, {}, { subscribe: ["comments"], sessionId });
  return new Response(token, { headers });
}
