import type { IncomingMessage } from 'node:http';
import { LoopscopeError } from '../errors.ts';
import { LIMITS } from '../span/limits.ts';

/**
 * A request's body, whole; `undefined` when there is none. Throws `body_too_large`, by the head alone where that tells,
 * and the socket's own error when the caller went away.
 */
export function readBody(message: IncomingMessage): Promise<Buffer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const announced = message.headers['content-length'];
  if (announced !== undefined && Number(announced) > LIMITS.gatewayBodyBytesMax) {
    reject(tooLarge());
    return promise;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  message.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > LIMITS.gatewayBodyBytesMax) {
      message.pause();
      reject(tooLarge());
    } else chunks.push(chunk);
  });
  message.on('end', () => resolve(chunks.length <= 1 ? chunks[0] : Buffer.concat(chunks, size)));
  message.on('error', reject);
  return promise;
}

const tooLarge = () =>
  new LoopscopeError(
    'body_too_large',
    `The request body is larger than ${LIMITS.gatewayBodyBytesMax} bytes, the most that a loop may send.`,
  );
