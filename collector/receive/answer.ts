import type { OtlpEncoding, Signal } from '../../src/span/batch.ts';

/** What an export request is told. */
export type Answer =
  /** All items but `rejected` are stored; `message` says why those are not, or is a remark on all. */
  | { kind: 'stored'; rejected: number; message: string }
  /** None is: the sender may come again after `retryAfterS`, or not at all without one. */
  | { kind: 'refused'; status: number; message: string; retryAfterS?: number };

export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

const CONTENT_TYPE = { protobuf: 'application/x-protobuf', json: 'application/json' } as const;

/** google.rpc.Code by HTTP status. */
const RPC_CODE: Record<number, number> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  404: 12, // UNIMPLEMENTED
  405: 12,
  413: 8, // RESOURCE_EXHAUSTED
  415: 3,
  503: 14, // UNAVAILABLE
};
const RPC_INTERNAL = 13;

export const rpcCode = (status: number): number => RPC_CODE[status] ?? RPC_INTERNAL;

/** What a partial success calls the items it did not take; in protobuf they are field 1 of every signal. */
const REJECTED = {
  traces: 'rejectedSpans',
  logs: 'rejectedLogRecords',
  metrics: 'rejectedDataPoints',
} as const;

/** `Export…ServiceResponse` or `google.rpc.Status`, in the request's own encoding. */
export function encodeAnswer(answer: Answer, encoding: OtlpEncoding, signal: Signal = 'traces'): HttpAnswer {
  const headers: Record<string, string> = { 'content-type': CONTENT_TYPE[encoding] };
  if (answer.kind === 'refused') {
    const { status, message, retryAfterS } = answer;
    if (retryAfterS !== undefined) headers['retry-after'] = String(retryAfterS);
    const code = rpcCode(status);
    const body = encoding === 'json' ? json({ code, message }) : protobuf(code, message);
    return { status, headers, body };
  }
  const { rejected, message } = answer;
  const full = rejected === 0 && message === '';
  if (encoding === 'json') {
    const body = full
      ? {}
      : { partialSuccess: { [REJECTED[signal]]: String(rejected), errorMessage: message } };
    return { status: 200, headers, body: json(body) };
  }
  const partialSuccess = protobuf(rejected, message);
  const body = full
    ? Buffer.alloc(0)
    : Buffer.concat([Buffer.from([0x0a]), varint(partialSuccess.length), partialSuccess]);
  return { status: 200, headers, body };
}

const json = (value: object) => Buffer.from(JSON.stringify(value));

/** Both messages begin alike: field 1 an integer, field 2 a string. */
function protobuf(first: number, second: string): Buffer {
  const parts: Buffer[] = [];
  if (first !== 0) parts.push(Buffer.from([0x08]), varint(first));
  const text = Buffer.from(second);
  if (text.length > 0) parts.push(Buffer.from([0x12]), varint(text.length), text);
  return Buffer.concat(parts);
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
