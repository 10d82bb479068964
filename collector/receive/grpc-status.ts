import { type Answer, encodeAnswer, rpcCode, varint } from './answer.ts';

/** What a call is told that is not answered with a message. */
export interface GrpcStatus {
  'grpc-status': string;
  'grpc-message': string;
  /** `google.rpc.Status` with `RetryInfo`, in base64. */
  'grpc-status-details-bin'?: string;
}

const UNIMPLEMENTED = 12;
const MESSAGE_LENGTH_MAX = 1_000;
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';

/**
 * A refusal as gRPC has it. By the OTLP specification UNAVAILABLE is what a sender may repeat, with `RetryInfo`
 * saying when; RESOURCE_EXHAUSTED without it, as for a message that is too large, is not.
 */
export function grpcStatus(refused: Extract<Answer, { kind: 'refused' }>): GrpcStatus {
  const { status, retryAfterS } = refused;
  // An encoding that is not known is a method's missing ability in gRPC, and bad input in HTTP.
  const code = status === 415 ? UNIMPLEMENTED : rpcCode(status);
  const message = refused.message.slice(0, MESSAGE_LENGTH_MAX);
  if (retryAfterS === undefined)
    return { 'grpc-status': String(code), 'grpc-message': percentEncoded(message) };
  const details = Buffer.concat([
    encodeAnswer({ ...refused, message }, 'protobuf').body,
    field(3, Buffer.concat([field(1, Buffer.from(RETRY_INFO)), field(2, retryInfo(retryAfterS))])),
  ]);
  return {
    'grpc-status': String(code),
    'grpc-message': percentEncoded(message),
    'grpc-status-details-bin': details.toString('base64'),
  };
}

/** `RetryInfo { retry_delay: Duration { seconds } }` */
const retryInfo = (seconds: number) => field(1, Buffer.concat([Buffer.from([0x08]), varint(seconds)]));

/** A field of a length, below 16. */
const field = (number: number, value: Buffer) =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(value.length), value]);

/** As `grpc-message` has it: printable ASCII but for `%`, everything else byte by byte. */
const percentEncoded = (text: string) =>
  [...Buffer.from(text)]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
