// Hands over one thing at a time, in order. While the promise that a handler returned is open, the next thing
// waits; when it is settled the place is committed. Knows nothing of where things come from.

export interface Delivery {
  /** Hands over, or queues. `hand` returns what to wait for; the place is `after` then, or stays if that is null. */
  push(after: string | undefined | null, hand?: () => Promise<unknown> | undefined): void;
  /** Resolves when nothing is queued; nothing when that is so already. */
  handling(): Promise<void> | undefined;
  /** Hands over nothing more. What is queued stays, for it was read and would not come again. */
  stop(): void;
  /** Goes on, with what is queued. */
  start(): void;
}

export function createDelivery(commit: (after: string | undefined) => void): Delivery {
  const queue: Parameters<Delivery["push"]>[] = [];
  let running = false;
  let stopped = false;
  let open: Promise<void> | undefined;

  function run(): void {
    if (running) return;
    running = true;
    while (!stopped) {
      const next = queue.shift();
      if (!next) break;
      const pending = next[1]?.();
      const done = () => next[0] !== null && commit(next[0]);
      if (pending) {
        open = pending.then(() => {
          done();
          open = undefined;
          running = false;
          run();
        });
        return;
      }
      done();
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
    stop() {
      stopped = true;
    },
    start() {
      stopped = false;
      run();
    },
  };
}
