import { requireSession } from "@/auth";
import { TIDINGS_URL } from "@/lib/tidings";
import { ByCookie } from "./by-cookie";

export default async function Page() {
  const { user } = await requireSession();
  return <ByCookie tidingsUrl={TIDINGS_URL} userId={user.id} />;
}
