"use client";

// The form for a comment. When there were too many, it counts down to the next one that is let in.

import { type FormEvent, useEffect, useState } from "react";
import type { Comment } from "@/lib/store";

const RETRY_SECS_DEFAULT = 5;

export function Write({ onWritten }: { onWritten: (comment: Comment) => void }) {
  const [error, setError] = useState("");
  const [isSending, setIsSending] = useState(false);
  const [waitSecs, setWaitSecs] = useState(0);

  useEffect(() => {
    if (waitSecs === 0) return;
    const timer = setTimeout(() => setWaitSecs(waitSecs - 1), 1_000);
    return () => clearTimeout(timer);
  }, [waitSecs]);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const written = () => new FormData(form).get("text");
    const text = written();
    setError("");
    setIsSending(true);
    try {
      const response = await fetch("/api/comments", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ text }),
      });
      if (response.ok) {
        // Unless the next comment has been begun meanwhile.
        if (written() === text) form.reset();
        onWritten((await response.json()) as Comment);
      } else if (response.status === 429) {
        setWaitSecs(Number(response.headers.get("Retry-After")) || RETRY_SECS_DEFAULT);
      } else {
        setError(((await response.json()) as { detail: string }).detail);
      }
    } catch {
      setError("The application is out of reach.");
    } finally {
      setIsSending(false);
    }
  }

  return (
    <form onSubmit={submit} className="card">
      <label>
        Comment
        <input name="text" required maxLength={500} autoComplete="off" />
      </label>
      <button type="submit" className="primary" disabled={isSending || waitSecs > 0}>
        Write
      </button>
      <p className={error || waitSecs ? "outcome failed" : "outcome quiet"} role="status">
        {error || (waitSecs ? `Too many. Try again in ${waitSecs} s.` : "Five in a minute.")}
      </p>
    </form>
  );
}
