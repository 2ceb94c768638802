// The page as a whole: the form to sign in, or the frame with the part that the address names.

import { type ReactNode, useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import { FeedProvider } from "./feed.tsx";
import { Connections } from "./pages/connections.tsx";
import { Overview } from "./pages/overview.tsx";
import { Publish } from "./pages/publish.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { Tail } from "./pages/tail.tsx";
import { Token } from "./pages/token.tsx";
import { Topics } from "./pages/topics.tsx";
import { type Part, type Route, useRoute } from "./route.ts";
import type { Session } from "./session.ts";
import { NAMES, Shell } from "./shell.tsx";
import { focusTitle } from "./title.tsx";

const PAGES: Record<Part, (props: { route: Route }) => ReactNode> = {
  overview: Overview,
  connections: Connections,
  topics: Topics,
  tail: Tail,
  publish: Publish,
  token: Token,
};

export function App({ url, session }: { url: string; session: Session }) {
  const key = useSyncExternalStore(session.subscribe, session.get);
  const onRefused = useCallback((why: string) => session.signOut(why), [session]);
  if (key === undefined) {
    return <SignIn url={url} reason={session.reason()} signIn={session.signIn} />;
  }
  return (
    <FeedProvider url={url} credential={key} onRefused={onRefused}>
      <Signed signOut={() => session.signOut()} />
    </FeedProvider>
  );
}

function Signed({ signOut }: { signOut: () => void }) {
  const route = useRoute();
  const { part } = route;
  const shown = useRef(part);
  useEffect(() => {
    document.title = `${NAMES[part]} · Tidings`;
    // Whoever chose another part by keyboard or screen reader goes on at its beginning.
    if (shown.current !== part) focusTitle();
    shown.current = part;
  }, [part]);
  const Page = PAGES[part];
  return (
    <Shell part={part} signOut={signOut}>
      <Page key={part} route={route} />
    </Shell>
  );
}
