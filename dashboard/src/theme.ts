// Light or dark: what the system prefers, until the person chooses. The choice is all that this page keeps beyond its
// tab. The colours themselves are in `style/tokens.css`.

const STORED_AS = "tidings:theme";

export type Theme = "light" | "dark";

const darkPreferred = () => window.matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme | undefined {
  const { theme } = document.documentElement.dataset;
  return theme === "light" || theme === "dark" ? theme : undefined;
}

export function currentTheme(): Theme {
  return chosen() ?? (darkPreferred().matches ? "dark" : "light");
}

/** Takes over what was chosen in an earlier visit. */
export function restoreTheme(): void {
  try {
    const stored = localStorage.getItem(STORED_AS);
    if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
  } catch {
    // Storage may be forbidden; the system's preference holds.
  }
}

export function chooseTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(STORED_AS, theme);
  } catch {
    // It lasts as long as the page, then.
  }
}

/** Calls back when the colours change, whoever changed them. */
export function onThemeChange(listener: () => void): () => void {
  const preference = darkPreferred();
  preference.addEventListener("change", listener);
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => {
    preference.removeEventListener("change", listener);
    observer.disconnect();
  };
}
