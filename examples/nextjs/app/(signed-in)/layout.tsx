import type { ReactNode } from "react";
import { signOutAction } from "@/app/actions";
import { requireSession } from "@/auth";
import { Navigation } from "@/components/navigation";

export default async function Layout({ children }: { children: ReactNode }) {
  const { user } = await requireSession();
  return (
    <>
      <header>
        <strong>Tidings with Next.js</strong>
        <form action={signOutAction}>
          <span className="quiet">{user.name}</span>
          <button type="submit">Sign out</button>
        </form>
        <Navigation />
      </header>
      <main>{children}</main>
    </>
  );
}
