"use server";

import { AuthError } from "next-auth";
import { requireSession, signIn, signOut } from "@/auth";
import { addNotification } from "@/lib/store";
import { tidings } from "@/lib/tidings";
import { DEMO_USERS } from "@/lib/users";

const TITLE_CHARACTERS_MAX = 200;

/** What a form is told. */
export interface Outcome {
  said?: string;
  error?: string;
}

/** Signs in. On success this redirects and never returns. */
export async function signInAction(_before: Outcome, form: FormData): Promise<Outcome> {
  try {
    await signIn("credentials", {
      user: form.get("user"),
      password: form.get("password"),
      redirectTo: "/",
    });
    return {};
  } catch (error) {
    if (error instanceof AuthError) return { error: "This name and password do not match." };
    throw error;
  }
}

/** Signs out; `events.signOut` in auth.ts tells Tidings. */
export async function signOutAction(): Promise<void> {
  await signOut({ redirectTo: "/sign-in" });
}

/** Stores a notification, then tells one user of it, or everyone. */
export async function notifyAction(_before: Outcome, form: FormData): Promise<Outcome> {
  const { user } = await requireSession();
  const title = String(form.get("title") ?? "").trim();
  if (!title) return { error: "A notification needs some words." };
  const to = String(form.get("to"));
  const isForEveryone = to === "everyone";
  if (!isForEveryone && !DEMO_USERS.some(({ id }) => id === to)) {
    return { error: "There is no such user." };
  }
  const notification = addNotification({
    title: title.slice(0, TITLE_CHARACTERS_MAX),
    from: user.name,
    to: isForEveryone ? null : to,
  });
  const event = { type: "notification", data: notification, key: notification.id };
  try {
    await (isForEveryone ? tidings().broadcast(event) : tidings().toUser(to, event));
    return { said: "Sent." };
  } catch (error) {
    // The cause may name addresses of the inside, so it goes to the log and not to the browser.
    process.stderr.write(`cannot publish: ${error}\n`);
    return { error: "Kept, but not live: Tidings is away." };
  }
}
