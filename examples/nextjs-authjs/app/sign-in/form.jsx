"use client";

import { useActionState } from "react";
import { signInAction } from "../actions.js";

export function SignInForm() {
  const [outcome, signIn, busy] = useActionState(signInAction, { error: null });
  return (
    <form action={signIn} className="sign-in">
      <label>
        Name
        <input name="user" required autoComplete="username" autoCapitalize="none" />
      </label>
      <label>
        Password
        <input name="password" type="password" required autoComplete="current-password" />
      </label>
      <p className="failed" role="alert">
        {outcome?.error}
      </p>
      <button type="submit" className="primary" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}
