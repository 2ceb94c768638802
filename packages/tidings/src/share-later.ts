// Loads what the tabs need to share a connection when it is first wanted, so that nobody else pays for it.

import { type Connection, createConnection, type Host } from "./connection.ts";

export function shareLater(host: Host): Connection {
  if (host.user === undefined) {
    throw new TypeError("`shareTabs` needs `user`: whose events the tabs share");
  }
  let made: Connection | undefined;
  let loading = false;
  let wanted = false;

  async function load(): Promise<void> {
    loading = true;
    // Without the network it cannot be loaded now, and this tab has a connection of its own.
    const create = await import("./share.ts").then(
      ({ createSharedConnection }) => createSharedConnection,
      () => createConnection,
    );
    made = create(host);
    if (wanted) made.start();
  }

  return {
    start() {
      if (!wanted) host.stage({ status: "connecting", attempt: 1 });
      wanted = true;
      if (made) made.start();
      else if (!loading) void load();
    },
    stop(anew = false) {
      wanted = anew && wanted;
      made?.stop(anew);
    },
    wake: (sure) => made?.wake(sure),
  };
}
