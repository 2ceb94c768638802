import { requireSession } from "@/auth";
import { TIDINGS_URL } from "@/lib/tidings";
import { Polling } from "./polling";

export default async function Page() {
  const { user } = await requireSession();
  return <Polling tidingsUrl={TIDINGS_URL} userId={user.id} />;
}
