// What happens to the page around the client: the network comes back, the page is shown, hidden, frozen, or
// kept for the back button. Knows nothing of connections; it says what to do.

import type { PageSource } from "./types.ts";

export interface PageHandlers {
  /** Something may have changed while nobody looked. `sure` when the old connection is most likely dead. */
  wake(sure: boolean): void;
  pause(reason: "hidden" | "frozen"): void;
  resume(): void;
}

/** Listens until the returned function is called. */
export function watchPage(
  page: PageSource,
  pauseWhenHidden: boolean,
  handlers: PageHandlers,
): () => void {
  const { document } = page;
  const listened: [
    Pick<PageSource, "addEventListener" | "removeEventListener">,
    string,
    (event: Event) => void,
  ][] = [
    [page, "online", () => handlers.wake(true)],
    // An open connection keeps a page out of the back-forward cache.
    [page, "pagehide", (event) => persisted(event) && handlers.pause("frozen")],
    [page, "pageshow", (event) => persisted(event) && handlers.resume()],
    [document, "freeze", () => handlers.pause("frozen")],
    [document, "resume", () => handlers.resume()],
    [
      document,
      "visibilitychange",
      () => {
        if (document.visibilityState !== "hidden") {
          if (pauseWhenHidden) handlers.resume();
          handlers.wake(false);
        } else if (pauseWhenHidden) handlers.pause("hidden");
      },
    ],
  ];
  for (const [target, type, handler] of listened) target.addEventListener(type, handler);
  return () => {
    for (const [target, type, handler] of listened) target.removeEventListener(type, handler);
  };
}

function persisted(event: Event): boolean {
  return (event as PageTransitionEvent).persisted;
}
