/**
 * A bounded queue with a line for each loop, served so that each gets the same share however many wait in it.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queuing", SIGCOMM 1996): one that arrives gets
 * the start tag S = max(v, F of the one before it in its line) and the finish tag F = S + cost; the smallest start
 * tag is served next, and the virtual time v is that of the last served. With costs that are all alike it is round
 * robin; with tokens as costs a loop with large calls gets fewer of them through.
 *
 * `#lines` has the lines that are not empty, and those whose last finish tag is still ahead of v: a loop cannot get
 * ahead by leaving and coming back.
 */
interface Waiting<T> {
  item: T;
  start: number;
}

interface Line<T> {
  waiting: Waiting<T>[];
  finish: number;
}

export class FairQueue<T> {
  readonly #lines = new Map<string, Line<T>>();
  readonly #lineMax: number;
  #virtualTime = 0;
  #size = 0;

  constructor(lineMax: number) {
    this.#lineMax = lineMax;
  }

  get size(): number {
    return this.#size;
  }

  /** `false` where the line is full. `cost` is in any unit that is the same for all. */
  push(line: string, cost: number, item: T): boolean {
    let at = this.#lines.get(line);
    if (!at) {
      at = { waiting: [], finish: 0 };
      this.#lines.set(line, at);
    }
    if (at.waiting.length >= this.#lineMax) return false;
    const start = Math.max(this.#virtualTime, at.finish);
    at.finish = start + cost;
    at.waiting.push({ item, start });
    this.#size++;
    return true;
  }

  /** Who is served next. */
  peek(): T | undefined {
    return this.#next()?.waiting[0]?.item;
  }

  /** Serves `item`, which `peek` gave; others may have come since. */
  serve(item: T): void {
    for (const { waiting } of this.#lines.values()) {
      if (waiting[0]?.item !== item) continue;
      this.#virtualTime = waiting.shift()!.start;
      this.#size--;
      this.#forgetPast();
      return;
    }
  }

  /** Takes out those who need not wait any more, and gives them. */
  remove(isOver: (item: T) => boolean): T[] {
    const removed: T[] = [];
    for (const line of this.#lines.values()) {
      const staying = line.waiting.filter(({ item }) => !isOver(item));
      if (staying.length === line.waiting.length) continue;
      for (const { item } of line.waiting) if (isOver(item)) removed.push(item);
      line.waiting = staying;
    }
    this.#size -= removed.length;
    if (removed.length > 0) this.#forgetPast();
    return removed;
  }

  #next(): Line<T> | undefined {
    let next: Line<T> | undefined;
    for (const line of this.#lines.values()) {
      const first = line.waiting[0];
      if (first && (!next || first.start < next.waiting[0]!.start)) next = line;
    }
    return next;
  }

  #forgetPast(): void {
    if (this.#size === 0) {
      this.#lines.clear();
      this.#virtualTime = 0;
      return;
    }
    for (const [name, line] of this.#lines)
      if (line.waiting.length === 0 && line.finish <= this.#virtualTime) this.#lines.delete(name);
  }
}
