// Who may sign in, and what the session cookie says of them. Auth.js encrypts the cookie with
// AUTH_SECRET; it knows nothing of Tidings but whom to tell when a session ends.

import { redirect } from "next/navigation";
import NextAuth, { type DefaultSession, type Session } from "next-auth";
import Credentials from "next-auth/providers/credentials";
import { revokeSession } from "@/lib/tidings";
import { userBy } from "@/lib/users";

declare module "next-auth" {
  interface Session {
    user: { id: string; name: string } & DefaultSession["user"];
    /** Names this one session of the user's. */
    sessionId: string;
  }
}

export const { handlers, auth, signIn, signOut } = NextAuth({
  session: { strategy: "jwt" },
  pages: { signIn: "/sign-in" },
  providers: [
    Credentials({
      credentials: { user: {}, password: {} },
      authorize: ({ user, password }) => userBy(user, password),
    }),
  ],
  callbacks: {
    jwt({ token, user }) {
      // `user` is there when somebody signs in, and only then. The id names this one session, so that
      // signing out here leaves the user's other browsers alone.
      if (user) token.sid = crypto.randomUUID();
      return token;
    },
    session({ session, token }) {
      session.user.id = token.sub ?? "";
      session.sessionId = String(token.sid);
      return session;
    },
  },
  events: {
    // Auth.js forgets the cookie; the streams that the session has opened have to be ended by Tidings.
    async signOut(message) {
      const sid = "token" in message && message.token?.sid;
      if (sid) await revokeSession(String(sid));
    },
  },
});

/** The session of whoever asks; others are sent to sign in. */
export async function requireSession(): Promise<Session> {
  return (await auth()) ?? redirect("/sign-in");
}
