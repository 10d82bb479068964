import { constants, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { LoopscopeError } from '../../src/errors.ts';

/** Output is made in pieces of this size, and none before the one before it was taken: a bomb stops at the limit. */
const PIECE_BYTES = 64 * 1024;
/** The window that HTTP allows a sender (RFC 9659): 8 MiB. A frame may ask for more, and memory would be its to name. */
const ZSTD_WINDOW_LOG_MAX = 23;

/**
 * A body may be this much larger than it was sent. Telemetry stays below 100, as every span has random ids; deflate
 * reaches 1,032 and zstd tens of thousands, on nothing but zeros.
 */
const RATIO_MAX = 200;
/** Up to here nobody asks for the ratio. */
const RATIO_FREE_BYTES = 4 * 1024 * 1024;

export type Unpacker = ReturnType<typeof createGunzip | typeof createInflate | typeof createZstdDecompress>;

/** For a `content-encoding`; `undefined` for none. Throws `unsupported_media_type`, also for one in another. */
export function unpackerOf(encoding = 'identity'): Unpacker | undefined {
  switch (encoding.trim().toLowerCase()) {
    case '':
    case 'identity':
      return undefined;
    case 'gzip':
    case 'x-gzip':
      return createGunzip({ chunkSize: PIECE_BYTES });
    case 'deflate':
      return createInflate({ chunkSize: PIECE_BYTES });
    case 'zstd':
      return createZstdDecompress({
        chunkSize: PIECE_BYTES,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
      });
    default:
      throw new LoopscopeError(
        'unsupported_media_type',
        `content-encoding: expected gzip, deflate, zstd or none${encoding.includes(',') ? ', and only one' : ''}, found ${JSON.stringify(encoding.slice(0, 80))}.`,
      );
  }
}

/** Whether what was unpacked so far is more than that many bytes received can honestly hold. */
export const isBomb = (received: number, unpacked: number): boolean =>
  unpacked > RATIO_FREE_BYTES && unpacked > RATIO_MAX * received;

export const bomb = (): LoopscopeError =>
  new LoopscopeError(
    'body_too_large',
    `The body unpacks to more than ${RATIO_MAX} times what was sent. Send smaller batches.`,
  );

/** Whether an error is the unpacker's: the bytes are not what the header says. */
export const isUnpackError = (error: unknown): error is Error =>
  /^(Z_|ZSTD_)/.test(String((error as NodeJS.ErrnoException).code));
