// Loads what the tabs need to share a connection only where it is asked for, so that nobody else pays for it.

import { type Connection, createConnection, type Host } from "./connection.ts";

export function shareLater(host: Host): Connection {
  if (host.user === undefined) throw new TypeError("`shareTabs` needs `user`");
  let wanted = false;
  let made: Connection | undefined;
  void import("./share.ts")
    .then(
      (share) => share.createSharedConnection,
      // It cannot be loaded now: this tab has a connection of its own.
      () => createConnection,
    )
    .then((create) => {
      made = create(host);
      if (wanted) made.start();
    });
  return {
    start() {
      wanted = true;
      made?.start();
    },
    stop(anew) {
      wanted = false;
      made?.stop(anew);
    },
    wake: (sure) => made?.wake(sure),
  };
}
