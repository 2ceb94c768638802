// The frame around every part: the ways to the others, the switch between light and dark, and the way out.

import { type ReactNode, useEffect, useState } from "react";
import { hrefTo, PARTS, type Part } from "./route.ts";
import { chooseTheme, currentTheme, onThemeChange } from "./theme.ts";
import { focusTitle } from "./title.tsx";

export const NAMES: Record<Part, string> = {
  overview: "Overview",
  connections: "Connections",
  topics: "Topics",
  tail: "Tail",
  publish: "Publish",
  token: "Token",
};

export function Shell(props: { part: Part; signOut: () => void; children: ReactNode }) {
  const { part, signOut, children } = props;
  return (
    <div className="shell">
      <button type="button" className="skip" onClick={focusTitle}>
        Skip to the content
      </button>
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
      <main id="main">{children}</main>
    </div>
  );
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
