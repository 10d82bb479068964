/** How many bytes of bodies are held at once. Whoever asks past the bound is refused and comes again later. */
export class PendingBytes {
  private readonly max: number;
  private held = 0;

  constructor(max: number) {
    this.max = max;
  }

  get bytes(): number {
    return this.held;
  }

  /** A share that grows with the body it is for and is given back at the end. */
  lease(): Lease {
    let taken = 0;
    return {
      grow: (bytes) => {
        if (this.held + bytes > this.max) return false;
        this.held += bytes;
        taken += bytes;
        return true;
      },
      release: () => {
        this.held -= taken;
        taken = 0;
      },
    };
  }
}

export interface Lease {
  /** Takes `bytes` more; `false` where that would pass the bound, and then nothing is taken. */
  grow(bytes: number): boolean;
  /** Gives all of it back. May be called again. */
  release(): void;
}
