import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createInflate } from 'node:zlib';
import { LoopscopeError } from '../../src/errors.ts';
import type { Lease } from './pending.ts';

/**
 * Reads and unpacks a request body. The request itself stays open whatever happens, so that it can be answered.
 * Throws like `unpacked`, or the socket's own error when the sender went away.
 */
export async function readBody(request: IncomingMessage, bytesMax: number, lease: Lease): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  const source = request.iterator({ destroyOnReturn: false });
  return await unpacked(source, request.headers['content-encoding'], bytesMax, lease);
}

/**
 * What `source` gives, unpacked. It holds no byte past `bytesMax`, counted before and after unpacking, and none that
 * the lease did not grant. Throws `unsupported_media_type`, `body_too_large`, `overloaded` or `bad_input`, or the
 * source's own error.
 */
export async function unpacked(
  source: AsyncIterable<Buffer>,
  encoding: string | undefined,
  bytesMax: number,
  lease: Lease,
): Promise<Buffer> {
  const unpack = unpacker(encoding);
  const chunks: Buffer[] = [];
  let size = 0;
  const collect = async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > bytesMax) throw tooLarge(bytesMax);
      if (!lease.grow(chunk.length))
        throw new LoopscopeError('overloaded', 'The collector holds as much as it may. Try again later.');
      chunks.push(chunk);
    }
  };
  const packed = atMost(source, bytesMax);
  if (unpack === undefined) await collect(packed);
  else {
    try {
      await pipeline(packed, unpack, collect);
    } catch (error) {
      if (!String((error as NodeJS.ErrnoException).code).startsWith('Z_')) throw error;
      throw new LoopscopeError('bad_input', `The body is not ${encoding}: ${(error as Error).message}.`);
    }
  }
  return Buffer.concat(chunks, size);
}

/** Reads on what a refused sender still sends, and throws it away, so that it gets to see the answer. */
export function discardRest(request: IncomingMessage, bytesMax: number): void {
  if (request.readableEnded || request.destroyed) return;
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > bytesMax) request.destroy();
  });
  request.on('error', () => {}); // it left before the end: nobody waits for that
}

function unpacker(encoding = 'identity'): Transform | undefined {
  switch (encoding.trim().toLowerCase()) {
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    default:
      throw new LoopscopeError(
        'unsupported_media_type',
        `content-encoding: expected gzip, deflate or none, found ${JSON.stringify(encoding.slice(0, 80))}.`,
      );
  }
}

async function* atMost(source: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > bytesMax) throw tooLarge(bytesMax);
    yield chunk;
  }
}

export const tooLarge = (bytesMax: number) =>
  new LoopscopeError('body_too_large', `The body is larger than ${bytesMax} bytes. Send smaller batches.`);
