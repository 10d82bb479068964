import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { LoopscopeError } from '../../src/errors.ts';
import type { Incoming } from './intake.ts';
import { bomb, isBomb, isUnpackError, unpackerOf } from './unpack.ts';

/**
 * Reads and unpacks a request body. The request itself stays open whatever happens, so that it can be answered.
 * Throws like `unpacked`, or the socket's own error when the sender went away.
 */
export async function readBody(
  request: IncomingMessage,
  bytesMax: number,
  incoming: Incoming,
): Promise<Buffer> {
  const source = request.iterator({ destroyOnReturn: false });
  return await unpacked(source, request.headers['content-encoding'], bytesMax, incoming);
}

/** What the head announces; of a body in chunks nobody knows. */
export function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

/**
 * What `source` gives, unpacked. It holds no byte past `bytesMax`, counted before and after unpacking, and none that
 * the lease did not grant; what it gives is the lease's memory. Throws `unsupported_media_type`, `body_too_large`,
 * `overloaded` or `bad_input`, or the source's own error.
 */
export async function unpacked(
  source: AsyncIterable<Buffer>,
  encoding: string | undefined,
  bytesMax: number,
  { lease, arrival }: Incoming,
): Promise<Buffer> {
  const unpacker = unpackerOf(encoding);
  let received = 0;
  let size = 0;
  async function* packed(): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      received += chunk.length;
      arrival.received(chunk.length);
      if (received > bytesMax) throw tooLarge(bytesMax);
      yield chunk;
      arrival.awaited();
    }
    arrival.received(0); // all is here, and may take its time to be unpacked
  }
  const collect = async (from: AsyncIterable<Buffer>) => {
    for await (const chunk of from) {
      size += chunk.length;
      if (size > bytesMax) throw tooLarge(bytesMax);
      if (unpacker && isBomb(received, size)) throw bomb();
      if (!lease.append(chunk))
        throw new LoopscopeError('overloaded', 'The collector holds as much as it may. Try again later.');
      if (!unpacker) letGo(chunk);
    }
  };
  if (!unpacker) await collect(packed());
  else {
    try {
      await pipeline(packed, unpacker, collect);
    } catch (error) {
      if (!isUnpackError(error)) throw error;
      throw new LoopscopeError('bad_input', `The body is not ${encoding}: ${error.message}.`);
    }
    // All but gzip leave out what follows the end, without a word, and it may be somebody's spans.
    if (unpacker.bytesWritten < received)
      throw new LoopscopeError(
        'bad_input',
        `The body goes on for ${received - unpacker.bytesWritten} bytes after the end of its ${encoding} data.`,
      );
  }
  return lease.body();
}

/**
 * Frees the memory of a chunk that nobody looks at any more, where it has it to itself. Left to the garbage collector it
 * counts as growth of the heap until then, and two thirds of what a collector leaves are these.
 */
function letGo({ buffer, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0);
}

/**
 * Reads on what a refused sender still sends, and throws it away, so that it gets to see the answer and may keep its
 * connection. One that goes on past `bytesMax` is cut off.
 */
export function discardRest(request: IncomingMessage, bytesMax: number): void {
  if (request.readableEnded || request.destroyed) return;
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > bytesMax) request.destroy();
  });
  request.on('error', () => {}); // it left before the end: nobody waits for that
}

export const tooLarge = (bytesMax: number) =>
  new LoopscopeError('body_too_large', `The body is larger than ${bytesMax} bytes. Send smaller batches.`);
