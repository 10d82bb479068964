/** A place in the log, and those who wait until delivery is past it. */
interface Flush {
  segment: number;
  offset: number;
  done: PromiseWithResolvers<void>;
}

export class Flushes {
  private readonly waiting = new Set<Flush>();

  get isEmpty(): boolean {
    return this.waiting.size === 0;
  }

  /** Resolves at a `wake` that is past the place; rejects with the signal's reason. */
  wait(segment: number, offset: number, signal?: AbortSignal): Promise<void> {
    const flush = { segment, offset, done: Promise.withResolvers<void>() };
    this.waiting.add(flush);
    const giveUp = () => {
      this.waiting.delete(flush);
      flush.done.reject(signal?.reason);
    };
    if (signal?.aborted) giveUp();
    else signal?.addEventListener('abort', giveUp, { once: true });
    return flush.done.promise;
  }

  wake(isPast: (segment: number, offset: number) => boolean): void {
    for (const flush of this.waiting) {
      if (!isPast(flush.segment, flush.offset)) continue;
      this.waiting.delete(flush);
      flush.done.resolve();
    }
  }
}
