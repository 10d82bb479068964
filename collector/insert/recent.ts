import type { Clock } from '../../src/clock.ts';

/**
 * A set of at most `max` keys, none older than `ageMsMax`; the one added longest ago goes first.
 * (A Map keeps the order in which keys were added; adding again moves a key to the end.)
 */
export class RecentSet {
  private readonly addedAt = new Map<string, number>();
  /** Goes on where it was: a new one would have to pass all places of keys that are gone. */
  private readonly oldest = this.addedAt.keys();
  private readonly max: number;
  private readonly ageMsMax: number;
  private readonly clock: Clock;

  constructor(max: number, ageMsMax: number, clock: Clock) {
    this.max = max;
    this.ageMsMax = ageMsMax;
    this.clock = clock;
  }

  has(key: string): boolean {
    const at = this.addedAt.get(key);
    return at !== undefined && this.clock.now() - at <= this.ageMsMax;
  }

  add(key: string): void {
    this.addedAt.delete(key);
    this.addedAt.set(key, this.clock.now());
    if (this.addedAt.size > this.max) this.addedAt.delete(this.oldest.next().value!);
  }

  get size(): number {
    return this.addedAt.size;
  }
}
