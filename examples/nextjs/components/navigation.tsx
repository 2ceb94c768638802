"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";

const PAGES = [
  ["/", "Notifications"],
  ["/comments", "Comments"],
  ["/polling", "Polling"],
  ["/session", "Cookie"],
] as const;

/** The pages of the example, each of which shows one way to be told. */
export function Navigation() {
  const path = usePathname();
  return (
    <nav>
      {PAGES.map(([href, title]) => (
        <Link key={href} href={href} aria-current={href === path ? "page" : undefined}>
          {title}
        </Link>
      ))}
    </nav>
  );
}
