/**
 * Items in the order in which they were last used:
 *
 *     oldest ◄──older── … ──newer──► newest
 *
 * The links are in the items, so that all operations take the same time however many there are. A `Map` in order of
 * insertion does not do: finding its first entry takes the longer the more entries were deleted before it.
 */
export interface Linked<T> {
  older: T | undefined;
  newer: T | undefined;
}

export class RecencyList<T extends Linked<T>> {
  oldest: T | undefined;
  #newest: T | undefined;

  /** Adds an item that is not in the list, as the newest. */
  add(item: T): void {
    item.older = this.#newest;
    if (this.#newest) this.#newest.newer = item;
    else this.oldest = item;
    this.#newest = item;
  }

  /** Takes out an item that is in the list. */
  remove(item: T): void {
    const { older, newer } = item;
    if (older) older.newer = newer;
    else this.oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    item.older = undefined;
    item.newer = undefined;
  }
}
