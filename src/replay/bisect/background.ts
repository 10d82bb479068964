/**
 * Work that is begun and not waited for: at most `max` at once, and nothing is lost, since whoever ends waits for all of it
 * and hears of what failed.
 */
export class Background {
  private readonly under = new Set<Promise<void>>();
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  /** Takes work; resolves when there is room for more. Throws what work that was taken before threw. */
  async add(work: Promise<void>): Promise<void> {
    work.catch(() => {}); // it is told by `done`
    this.under.add(work);
    if (this.under.size >= this.max) await this.done();
  }

  /** Resolves when all of it is over. Throws what the first to fail threw. */
  async done(): Promise<void> {
    const results = await Promise.allSettled(this.under);
    this.under.clear();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
