"use client";

import { useActionState } from "react";
import { signInAction } from "@/app/actions";

export function SignInForm() {
  const [outcome, signIn, isBusy] = useActionState(signInAction, {});
  return (
    <form action={signIn}>
      <label>
        Name
        <input name="user" required autoComplete="username" autoCapitalize="none" />
      </label>
      <label>
        Password
        <input name="password" type="password" required autoComplete="current-password" />
      </label>
      <p className="outcome failed" role="alert">
        {outcome.error}
      </p>
      <button type="submit" className="primary" disabled={isBusy}>
        Sign in
      </button>
    </form>
  );
}
