// Who may sign in, and what the session cookie says of them. Auth.js encrypts the cookie with
// AUTH_SECRET; it knows nothing of Tidings but whom to tell when a session ends.

import NextAuth from "next-auth";
import Credentials from "next-auth/providers/credentials";
import { revokeSession } from "./tidings.js";

// For trying things out only: a real application asks its database or an identity provider.
const DEMO_USERS = [
  { id: "ada", name: "Ada", password: "ada" },
  { id: "grace", name: "Grace", password: "grace" },
];

export const { handlers, auth, signIn, signOut } = NextAuth({
  session: { strategy: "jwt" },
  pages: { signIn: "/sign-in" },
  providers: [
    Credentials({
      credentials: { user: {}, password: {} },
      authorize({ user, password }) {
        const found = DEMO_USERS.find(({ id }) => id === user);
        return found?.password === password ? { id: found.id, name: found.name } : null;
      },
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
      session.user.id = token.sub;
      session.sessionId = token.sid;
      return session;
    },
  },
  events: {
    // Auth.js forgets the cookie; the streams that the cookie opened have to be ended by Tidings.
    async signOut({ token }) {
      if (token?.sid) await revokeSession(token.sid);
    },
  },
});
