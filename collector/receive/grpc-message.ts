import { LoopscopeError } from '../../src/errors.ts';
import { tooLarge, unpacked } from './body.ts';
import type { Incoming } from './intake.ts';

/** A message of gRPC is preceded by a byte that says whether it is compressed, and four with its length. */
const PREFIX_BYTES = 5;

/**
 * The one message of a unary call, unpacked where it is marked as compressed by `encoding` (`grpc-encoding`). It
 * holds no byte past `bytesMax`, counted before and after unpacking, and none that the lease did not grant.
 * Throws `bad_input`, `unsupported_media_type`, `body_too_large` or `overloaded`, or the source's own error.
 */
export async function readMessage(
  source: AsyncIterable<Buffer>,
  encoding: string | undefined,
  bytesMax: number,
  incoming: Incoming,
): Promise<Buffer> {
  const chunks = source[Symbol.asyncIterator]();
  let first = Buffer.alloc(0);
  while (first.length < PREFIX_BYTES) {
    const { done, value } = await chunks.next();
    if (done) throw new LoopscopeError('bad_input', 'The call ended before its message.');
    first = Buffer.concat([first, value]);
  }
  const compressed = first[0] === 1;
  const length = first.readUInt32BE(1);
  if (length > bytesMax) throw tooLarge(bytesMax);
  const message = exactly(length, first.subarray(PREFIX_BYTES), chunks);
  return await unpacked(message, compressed ? encoding : undefined, bytesMax, incoming);
}

/** `message` as it goes over the wire. */
export function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

async function* exactly(
  length: number,
  first: Buffer,
  rest: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  let missing = length;
  for (let chunk = first; ; ) {
    missing -= chunk.length;
    if (missing < 0)
      throw new LoopscopeError('bad_input', 'The call has more than the one message it may have.');
    if (chunk.length > 0) yield chunk;
    const { done, value } = await rest.next();
    if (done) break;
    chunk = value;
  }
  if (missing > 0)
    throw new LoopscopeError('bad_input', `The message ends ${missing} of ${length} bytes too early.`);
}
