import { requireSession } from "@/auth";
import { notificationsFor } from "@/lib/store";
import { TIDINGS_URL } from "@/lib/tidings";
import { DEMO_USERS } from "@/lib/users";
import { NotificationsPage } from "./notifications";

export default async function Page() {
  const { user } = await requireSession();
  return (
    <NotificationsPage
      tidingsUrl={TIDINGS_URL}
      userId={user.id}
      users={DEMO_USERS}
      stored={notificationsFor(user.id)}
    />
  );
}
