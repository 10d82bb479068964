/** Bodies are counted by their bytes: what a few bytes take must not be much more. */
const SMALLEST_BYTES = 1024;
/** Larger ones come from the system and go back to it. */
const LARGEST_BYTES = 4 * 1024 * 1024;
const KEPT_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Memory for bodies, used again and again. Every buffer that is made counts as garbage to come, and a collector makes
 * enough of them to keep the garbage collector busy for a sixth of its time.
 */
export class BufferPool {
  private readonly free = new Map<number, Buffer[]>();
  private kept = 0;

  /** At least `bytes`, and room to grow; with whatever is in it. */
  take(bytes: number): Buffer {
    let size = SMALLEST_BYTES;
    while (size < bytes) size *= 2;
    const buffer = this.free.get(size)?.pop();
    if (!buffer) return Buffer.allocUnsafeSlow(size);
    this.kept -= size;
    return buffer;
  }

  /** Nobody may look at it any more. */
  give(buffer: Buffer): void {
    const size = buffer.length;
    if (size < SMALLEST_BYTES || size > LARGEST_BYTES || this.kept + size > KEPT_BYTES_MAX) return;
    const free = this.free.get(size);
    if (free) free.push(buffer);
    else this.free.set(size, [buffer]);
    this.kept += size;
  }
}
