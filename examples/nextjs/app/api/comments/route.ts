// Takes a comment, at most so many of one user in any span of so long, and tells everyone who reads along.

import { auth } from "@/auth";
import { addComment } from "@/lib/store";
import { tidings } from "@/lib/tidings";

const COMMENTS_MAX = 5;
const WINDOW_SECS = 60;
const TEXT_CHARACTERS_MAX = 500;

export async function POST(request: Request): Promise<Response> {
  const session = await auth();
  if (!session) return refused(401, "You have signed out.");
  const { user } = session;
  // Counted by Tidings, so that several servers of the application count together.
  const limited = await tidings().rateLimiter.applyRateLimit(request, {
    identifier: "comments",
    limit: COMMENTS_MAX,
    window: WINDOW_SECS,
    subject: user.id,
  });
  if (limited) return limited;

  // A form on another site cannot send this type.
  if (request.headers.get("Content-Type") !== "application/json") return refused(415, "JSON only.");
  const body = (await request.json().catch(() => null)) as { text?: unknown } | null;
  const text = typeof body?.text === "string" ? body.text.trim() : "";
  if (!text || text.length > TEXT_CHARACTERS_MAX) {
    return refused(400, `A comment has 1 to ${TEXT_CHARACTERS_MAX} characters.`);
  }
  const comment = addComment({ text, author: user.name });
  try {
    await tidings().publish({ topic: "comments", type: "comment", data: comment, key: comment.id });
  } catch (error) {
    // It is stored all the same: whoever is told of a gap, or loads the page, sees it.
    process.stderr.write(`cannot publish: ${error}\n`);
  }
  return Response.json(comment, { status: 201 });
}

function refused(status: number, detail: string): Response {
  return Response.json({ status, detail }, { status });
}
