import type { Clock } from '../../src/clock.ts';

export interface GroupOptions<Item, Result> {
  /** Work for one group. One result an item, in order; throwing is a bug and rejects every item of the group. */
  commit: (items: readonly Item[]) => Promise<Result[]>;
  /** Size of an item, in the unit of `sizeMax`. */
  sizeOf: (item: Item) => number;
  /** A group that reached this size goes at once. */
  sizeMax: number;
  /** A group goes this long after its first item came. */
  delayMs: number;
  /** Groups under way at once; more wait and grow. */
  flightsMax: number;
  clock: Clock;
}

/**
 * Group commit: items of many callers become one piece of work, by size or deadline, and each caller hears of its own.
 * It knows nothing of what the work is. The queue is as long as callers let it be: bound them.
 */
export class GroupCommit<Item, Result> {
  private readonly options: GroupOptions<Item, Result>;
  private waiting: { item: Item; done: PromiseWithResolvers<Result> }[] = [];
  private waitingSize = 0;
  private deadline: AbortController | undefined;
  private readonly flights = new Set<Promise<void>>();

  constructor(options: GroupOptions<Item, Result>) {
    this.options = options;
  }

  /** Resolves with the item's result once its group is through. */
  add(item: Item): Promise<Result> {
    const done = Promise.withResolvers<Result>();
    this.waiting.push({ item, done });
    this.waitingSize += this.options.sizeOf(item);
    if (this.waitingSize >= this.options.sizeMax) this.flush();
    else this.deadline ??= this.startDeadline();
    return done.promise;
  }

  /** Sends off what waits and resolves when nothing is under way any more. */
  async drain(): Promise<void> {
    while (this.waiting.length > 0 || this.flights.size > 0) {
      this.flush();
      await Promise.race(this.flights);
    }
  }

  private startDeadline(): AbortController {
    const controller = new AbortController();
    this.options.clock.sleep(this.options.delayMs, controller.signal).then(
      () => this.flush(),
      () => {}, // flushed before
    );
    return controller;
  }

  private flush(): void {
    this.deadline?.abort();
    this.deadline = undefined;
    // With all flights taken the group waits for one to land, and grows meanwhile.
    if (this.waiting.length === 0 || this.flights.size >= this.options.flightsMax) return;
    const group = this.waiting;
    this.waiting = [];
    this.waitingSize = 0;
    const flight = this.commit(group).finally(() => {
      this.flights.delete(flight);
      if (this.waiting.length > 0) this.flush();
    });
    this.flights.add(flight);
  }

  private async commit(group: typeof this.waiting): Promise<void> {
    try {
      const results = await this.options.commit(group.map(({ item }) => item));
      group.forEach(({ done }, i) => {
        done.resolve(results[i]!);
      });
    } catch (error) {
      for (const { done } of group) done.reject(error);
    }
  }
}
