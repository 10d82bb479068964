import { BufferPool } from './buffer-pool.ts';

/** How many bytes of bodies are held at once. Whoever asks past the bound is refused and comes again later. */
export class PendingBytes {
  private readonly max: number;
  private readonly pool = new BufferPool();
  private held = 0;

  constructor(max: number) {
    this.max = max;
  }

  get bytes(): number {
    return this.held;
  }

  /** A share that grows with the body it is for and is given back at the end. */
  lease(): Lease {
    let buffer: Buffer = NOTHING;
    let size = 0;
    let isOver = false;
    return {
      append: (piece) => {
        if (isOver || this.held + piece.length > this.max) return false;
        if (size + piece.length > buffer.length) {
          const larger = this.pool.take(size + piece.length);
          buffer.copy(larger, 0, 0, size);
          this.pool.give(buffer);
          buffer = larger;
        }
        this.held += piece.length;
        size += piece.copy(buffer, size);
        return true;
      },
      body: () => buffer.subarray(0, size),
      release: () => {
        isOver = true;
        this.held -= size;
        size = 0;
        this.pool.give(buffer);
        buffer = NOTHING;
      },
    };
  }
}

const NOTHING = Buffer.alloc(0);

/** Of the memory for bodies the part that is one body's. */
export interface Lease {
  /** Adds a piece to the body; `false` where that would pass the bound, and then nothing is added. */
  append(piece: Buffer): boolean;
  /** What was added so far. It is memory that others get after `release`. */
  body(): Buffer;
  /** Gives all of it back, for good. May be called again. */
  release(): void;
}
