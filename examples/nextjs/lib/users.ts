// Who there is. For trying things out only: a real application has its users in a database or with an
// identity provider, and their passwords hashed.

export interface DemoUser {
  id: string;
  name: string;
}

export const DEMO_USERS: readonly DemoUser[] = [
  { id: "ada", name: "Ada" },
  { id: "grace", name: "Grace" },
];

/** The user with this name and password; the password is the name. */
export function userBy(id: unknown, password: unknown): DemoUser | null {
  const found = DEMO_USERS.find((user) => user.id === id);
  return found && password === found.id ? found : null;
}
