/** More than this is not kept for the next time. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** Memory that is used again: what it gave is gone when it is asked the next time. */
export class Scratch {
  private buffer = Buffer.alloc(0);

  /** At least so many bytes, with anything in them. */
  take(bytes: number): Buffer {
    if (bytes > KEPT_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
    if (bytes > this.buffer.length)
      this.buffer = Buffer.allocUnsafeSlow(Math.min(KEPT_BYTES_MAX, Math.max(bytes, 2 * this.buffer.length)));
    return this.buffer;
  }
}
