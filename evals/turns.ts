/** Work of one key goes one after the other, and of all keys so many at once: one slow suite holds up no other. */
export interface Turns {
  /** Runs `work` when its turn comes. */
  take<T>(key: string, work: () => Promise<T>): Promise<T>;
  isBusy(key: string): boolean;
  /** Resolves when nothing is running or waiting. */
  settled(): Promise<void>;
}

export function createTurns(atOnceMax: number): Turns {
  const last = new Map<string, Promise<unknown>>();
  const waiting: (() => void)[] = [];
  let running = 0;

  const seat = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnceMax) await new Promise<void>((free) => waiting.push(free));
    else running++;
    try {
      return await work();
    } finally {
      // The seat is handed on, so that nobody slips in between.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };

  return {
    take: (key, work) => {
      const mine = (last.get(key) ?? Promise.resolve()).then(() => seat(work));
      const over: Promise<unknown> = mine
        .catch(() => {})
        .then(() => {
          if (last.get(key) === over) last.delete(key);
        });
      last.set(key, over);
      return mine;
    },
    isBusy: (key) => last.has(key),
    settled: async () => {
      while (last.size > 0) await Promise.all(last.values());
    },
  };
}
