// Hands over one thing at a time, in order. While the promise that a handler returned is open, the next thing
// waits; when it is settled the place is committed. Knows nothing of where things come from.

export interface Delivery {
  /** Hands over, or queues. `hand` returns the promises to wait for; `done` comes after them. */
  push(hand: () => Promise<unknown> | undefined, done: () => void): void;
  /** Resolves when nothing is queued; nothing when that is so already. */
  handling(): Promise<void> | undefined;
  /** Hands over nothing more. What is queued stays, for it was read and would not come again. */
  stop(): void;
  /** Goes on, with what is queued. */
  start(): void;
}

export function createDelivery(): Delivery {
  const queue: { hand: () => Promise<unknown> | undefined; done: () => void }[] = [];
  let running = false;
  let stopped = false;
  let open: Promise<void> | undefined;

  function run(): void {
    if (running) return;
    running = true;
    while (!stopped) {
      const next = queue.shift();
      if (!next) break;
      const { done } = next;
      const pending = next.hand();
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
    push(hand, done) {
      queue.push({ hand, done });
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
