import { redirect } from "next/navigation";
import { auth } from "../auth.js";
import { TIDINGS_URL } from "../tidings.js";
import { signOutAction } from "./actions.js";
import { Notifications } from "./notifications.jsx";

export default async function Page() {
  const session = await auth();
  if (!session) redirect("/sign-in");
  return (
    <>
      <header>
        <h1>Notifications</h1>
        <form action={signOutAction}>
          <span className="who">{session.user.name}</span>
          <button type="submit">Sign out</button>
        </form>
      </header>
      <main>
        <Notifications tidingsUrl={TIDINGS_URL} userId={session.user.id} />
      </main>
    </>
  );
}
