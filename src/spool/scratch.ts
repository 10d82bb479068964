/** More than this is not kept for the next time. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** Puts pieces together in memory that is used again: what it gave is gone when it is asked the next time. */
export class Scratch {
  private buffer = Buffer.alloc(0);

  concat(parts: readonly Buffer[]): Buffer {
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    if (size > KEPT_BYTES_MAX) return Buffer.concat(parts, size);
    if (size > this.buffer.length)
      this.buffer = Buffer.allocUnsafeSlow(Math.min(KEPT_BYTES_MAX, Math.max(size, 2 * this.buffer.length)));
    let at = 0;
    for (const part of parts) at += part.copy(this.buffer, at);
    return this.buffer.subarray(0, size);
  }
}
