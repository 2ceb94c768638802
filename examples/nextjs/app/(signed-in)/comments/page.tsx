import { requireSession } from "@/auth";
import { comments } from "@/lib/store";
import { TIDINGS_URL } from "@/lib/tidings";
import { Comments } from "./comments";

export default async function Page() {
  const { user } = await requireSession();
  return <Comments tidingsUrl={TIDINGS_URL} userId={user.id} stored={comments()} />;
}
