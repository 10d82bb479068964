/** Something that can stand in a `PlacedList`, in one at a time. Only the list writes `place`. */
export interface Placed {
  /** Where it stands, -1 outside. */
  place: number;
}

/**
 * What is under way, in no order: each of thousands a second joins and leaves in constant time.
 *
 * A `Set` or `Map` would say the same. But one that grows and shrinks all the time replaces its table again and again, and
 * V8 links each table to the next: as soon as one of them is old, all that ever stood in the later ones is kept, and copied,
 * until the old space is collected.
 */
export class PlacedList<T extends Placed> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** Does nothing for what is not in the list. */
  remove(item: T): void {
    const { place } = item;
    if (place === -1) return;
    const last = this.#items.pop()!;
    if (last !== item) {
      this.#items[place] = last;
      last.place = place;
    }
    item.place = -1;
  }

  /** Each once; the one that was given last may be removed meanwhile. */
  *[Symbol.iterator](): Generator<T> {
    // Backwards: removing one moves the last, which was given already, into its place.
    for (let i = this.#items.length - 1; i >= 0; i--) {
      const item = this.#items[i];
      if (item !== undefined) yield item;
    }
  }
}
