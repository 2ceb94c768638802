// Which part of the page is shown: kept in the fragment of its address, as in `#/tail?topic=orders/**`, so that the
// back button works and a place can be sent to a colleague. No secret is ever part of it.

import { useSyncExternalStore } from "react";

export const PARTS = ["overview", "connections", "topics", "tail", "publish", "token"] as const;

export type Part = (typeof PARTS)[number];

export interface Route {
  readonly part: Part;
  readonly query: Readonly<Record<string, string>>;
}

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const part = PARTS.find((name) => name === path) ?? "overview";
  return { part, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The address of a part, with what is not empty of the query. */
export function hrefTo(part: Part, query: Readonly<Record<string, string | undefined>> = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  return `#/${part}${search.size ? `?${search}` : ""}`;
}

/** Changes the query of the place one is at, without a step for the back button. */
export function replaceRoute(part: Part, query: Readonly<Record<string, string | undefined>>) {
  history.replaceState(null, "", hrefTo(part, query));
  for (const listener of [...listeners]) listener();
}

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("hashchange", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("hashchange", listener);
  };
}

export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => location.hash));
}
