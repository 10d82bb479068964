/**
 * How many things there were in the last while, and how many of them are marked. Kept in slots, so that it costs a
 * few additions a call; the oldest slot leaves as a whole. A clock that is set
 * back a little adds to the newest slot; far back, all begins anew.
 */
export class RollingCounts {
  readonly #slotMs: number;
  readonly #counted = new Array<number>(SLOTS).fill(0);
  readonly #marked = new Array<number>(SLOTS).fill(0);
  #slot = 0;
  #total = 0;
  #totalMarked = 0;

  constructor(windowMs: number) {
    this.#slotMs = windowMs / SLOTS;
  }

  count(nowMs: number): void {
    this.#counted[this.#turn(nowMs)]!++;
    this.#total++;
  }

  mark(nowMs: number): void {
    this.#marked[this.#turn(nowMs)]!++;
    this.#totalMarked++;
  }

  counted(nowMs: number): number {
    this.#turn(nowMs);
    return this.#total;
  }

  marked(nowMs: number): number {
    this.#turn(nowMs);
    return this.#totalMarked;
  }

  clear(): void {
    this.#counted.fill(0);
    this.#marked.fill(0);
    this.#total = 0;
    this.#totalMarked = 0;
  }

  /** Lets what is too old go, and gives the place of the present slot. */
  #turn(nowMs: number): number {
    const slot = Math.floor(nowMs / this.#slotMs);
    if (Math.abs(slot - this.#slot) >= SLOTS) {
      this.clear();
      this.#slot = slot;
    } else
      for (let s = this.#slot + 1; s <= slot; s++) {
        const at = s % SLOTS;
        this.#total -= this.#counted[at]!;
        this.#totalMarked -= this.#marked[at]!;
        this.#counted[at] = 0;
        this.#marked[at] = 0;
      }
    if (slot > this.#slot) this.#slot = slot;
    return this.#slot % SLOTS;
  }
}

const SLOTS = 10;
