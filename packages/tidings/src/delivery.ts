// Hands over one thing at a time, in order. While the promise that a handler returned is open, the next thing
// waits; when it is settled the place is committed. Knows nothing of where things come from.

export interface Delivery {
  /** Hands over, or queues. `hand` returns what to wait for; the place is `after` then. */
  push(after: string | undefined, hand?: () => Promise<unknown> | undefined): void;
  /** Resolves when nothing is queued; nothing when that is so already. */
  handling(): Promise<void> | undefined;
  /** Drops what is queued. */
  clear(): void;
}

export function createDelivery(commit: (after: string | undefined) => void): Delivery {
  let queue: Parameters<Delivery["push"]>[] = [];
  let running = false;
  let open: Promise<void> | undefined;

  function run(): void {
    if (running) return;
    running = true;
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [after, hand] = next;
      const pending = hand?.();
      if (pending) {
        open = pending.then(() => {
          commit(after);
          open = undefined;
          running = false;
          run();
        });
        return;
      }
      commit(after);
    }
    running = false;
  }

  async function idle(): Promise<void> {
    while (open) await open;
  }

  return {
    push(...next) {
      queue.push(next);
      run();
    },
    handling: () => (open ? idle() : undefined),
    clear() {
      queue = [];
    },
  };
}
