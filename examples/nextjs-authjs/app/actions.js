"use server";

import { redirect } from "next/navigation";
import { AuthError } from "next-auth";
import { auth, signIn, signOut } from "../auth.js";
import { publish } from "../tidings.js";

const TITLE_CHARACTERS_MAX = 200;

/** Signs in. On success this redirects and never returns. */
export async function signInAction(_before, form) {
  try {
    await signIn("credentials", {
      user: form.get("user"),
      password: form.get("password"),
      redirectTo: "/",
    });
  } catch (error) {
    if (error instanceof AuthError) return { error: "This name and password do not match." };
    throw error;
  }
}

/** Signs out; `events.signOut` in auth.js tells Tidings. */
export async function signOutAction() {
  await signOut({ redirectTo: "/sign-in" });
}

/** Publishes a notification to the user who is signed in. */
export async function notifyAction(_before, form) {
  const session = await auth();
  if (!session) redirect("/sign-in");
  const title = String(form.get("title") ?? "").slice(0, TITLE_CHARACTERS_MAX);
  try {
    await publish({
      user: session.user.id,
      type: "notification",
      data: { title, sentAt: Date.now() },
    });
    return { error: null };
  } catch (error) {
    // The cause may name addresses of the inside, so it goes to the log and not to the browser.
    process.stderr.write(`cannot publish: ${error}\n`);
    return { error: "Tidings could not be reached. The server's log says why." };
  }
}
