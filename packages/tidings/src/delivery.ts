// Hands over one thing at a time, in order. While the promise that a handler returned is open, the next thing
// waits; when it is settled the place is committed. Knows nothing of where things come from.

export interface Delivery {
  /** Hands over, or queues. `hand` returns the promises to wait for; `done` comes after them. */
  push(hand: () => Promise<unknown> | undefined, done: () => void): void;
  /** Resolves when nothing is queued; nothing when that is so already. */
  handling(): Promise<void> | undefined;
  /** Drops what is queued. */
  clear(): void;
}

export function createDelivery(): Delivery {
  let queue: { hand: () => Promise<unknown> | undefined; done: () => void }[] = [];
  let running = false;
  let open: Promise<void> | undefined;

  function run(): void {
    if (running) return;
    running = true;
    for (let next = queue.shift(); next; next = queue.shift()) {
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
    clear() {
      queue = [];
    },
  };
}
