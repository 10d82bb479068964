/** How many of something are under way, for whoever has to wait until none is. */
export class UnderWay {
  private count = 0;
  private waiting: PromiseWithResolvers<void> | undefined;

  begin(): void {
    this.count++;
  }

  end(): void {
    if (--this.count === 0) this.waiting?.resolve();
  }

  /** Resolves when none is; more may have begun meanwhile. */
  none(): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    this.waiting ??= Promise.withResolvers();
    return this.waiting.promise;
  }
}
