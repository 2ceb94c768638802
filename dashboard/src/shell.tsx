// The frame around every part: its name, the ways to the others, how this page itself is connected, the switch
// between light and dark, and the way out.

import { type ReactNode, type RefObject, useEffect, useState } from "react";
import { hrefTo, PARTS, type Part } from "./route.ts";
import { Status } from "./status.tsx";
import { chooseTheme, currentTheme, onThemeChange } from "./theme.ts";

export const NAMES: Record<Part, string> = {
  overview: "Overview",
  connections: "Connections",
  topics: "Topics",
  tail: "Tail",
  publish: "Publish",
  token: "Token",
};

export function Shell(props: {
  part: Part;
  heading: RefObject<HTMLHeadingElement | null>;
  signOut: () => void;
  children: ReactNode;
}) {
  const { part, heading, signOut, children } = props;
  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(event) => skip(event, heading.current)}>
        Skip to the content
      </a>
      <header className="rail">
        <Brand />
        <nav aria-label="Parts of the dashboard">
          <ul>
            {PARTS.map((name) => (
              <li key={name}>
                <a href={hrefTo(name)} aria-current={name === part ? "page" : undefined}>
                  {NAMES[name]}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div className="rail-foot">
          <ThemeSwitch />
          <button type="button" className="plain" onClick={signOut}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main">
        <div className="title">
          <h1 ref={heading} tabIndex={-1}>
            {NAMES[part]}
          </h1>
          <Status />
        </div>
        {children}
      </main>
    </div>
  );
}

/** The address keeps naming the part, so the jump is made here. */
function skip(event: { preventDefault(): void }, heading: HTMLElement | null): void {
  event.preventDefault();
  heading?.focus();
}

export function Brand() {
  return (
    <div className="brand">
      <svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
        <circle cx="8" cy="8" r="3" fill="currentColor" />
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" strokeWidth="1.5" />
      </svg>
      Tidings
    </div>
  );
}

function ThemeSwitch() {
  const [theme, setTheme] = useState(currentTheme);
  useEffect(() => onThemeChange(() => setTheme(currentTheme())), []);
  const other = theme === "dark" ? "light" : "dark";
  return (
    <button type="button" className="plain" onClick={() => chooseTheme(other)}>
      {other === "dark" ? "Dark colours" : "Light colours"}
    </button>
  );
}
