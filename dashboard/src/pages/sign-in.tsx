// Signing in: the operator's key is tried where it will be used, and what is wrong with it is said. The key goes
// nowhere but there.

import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import type { Stats } from "../answers.ts";
import { createApi, Refusal, wordsOf } from "../api.ts";
import type { Session } from "../session.ts";
import { Brand } from "../shell.tsx";

export function SignIn(props: {
  url: string;
  reason: string | undefined;
  signIn: Session["signIn"];
}) {
  const { url, reason, signIn } = props;
  const [key, setKey] = useState("");
  const [keep, setKeep] = useState(false);
  const [trying, setTrying] = useState(false);
  const [error, setError] = useState(reason ? `You were signed out: ${reason}` : undefined);
  const explained = useId();
  // There is nothing else on this page.
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const given = key.trim();
    if (!given || trying) return;
    setTrying(true);
    setError(undefined);
    try {
      await createApi(url, given)<Stats>("/api/admin/stats", { query: { secs: 1 } });
      signIn(given, keep);
    } catch (refused) {
      setError(explain(refused));
      setTrying(false);
    }
  };

  return (
    <main className="sign-in">
      <form className="sheet" onSubmit={submit} autoComplete="off">
        <Brand />
        <h1>Sign in to the dashboard</h1>
        <label>
          Admin key
          <input
            ref={field}
            type="password"
            value={key}
            onChange={(event) => setKey(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
            aria-describedby={explained}
            aria-invalid={error !== undefined}
            required
          />
        </label>
        <p className="hint" id={explained}>
          An API key with the scope <code>admin</code>. It is sent to this server in a header, and
          kept in this tab alone.
        </p>
        <label className="check">
          <input
            type="checkbox"
            checked={keep}
            onChange={(event) => setKeep(event.currentTarget.checked)}
          />
          Stay signed in when this tab is reloaded
        </label>
        <button type="submit" className="primary" disabled={trying}>
          {trying ? "Signing in" : "Sign in"}
        </button>
        <p className="outcome bad" role="alert">
          {error}
        </p>
      </form>
      <p className="hint">
        <a href="./assets/licences.txt">Licences of what this page is built with</a>
      </p>
    </main>
  );
}

function explain(error: unknown): string {
  if (!(error instanceof Refusal)) return wordsOf(error);
  switch (error.status) {
    case 401:
      return "This key is not one of the server's. Check that you have copied all of it.";
    case 403:
      return "The server knows this key, but it may not look here: it needs the scope admin.";
    case 404:
      return "There is no admin API here. Where admin_listen is set, it is on that address.";
    case 429:
      return "Too many wrong keys from your address. Wait a minute, then try again.";
    default:
      return error.message;
  }
}
