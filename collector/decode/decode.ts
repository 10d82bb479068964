import type { OtlpEncoding } from '../../src/span/batch.ts';
import type { Span } from '../../src/span/span.ts';
import { decodeJson } from './json.ts';
import { decodeProtobuf } from './protobuf.ts';

/**
 * The spans of an OTLP trace export request. Ids come as they were sent (hexadecimal, of whatever length): whether a
 * span is fit to be kept is the next stage's question. Throws `bad_input` or `body_too_large` and nothing else.
 */
export const decode = (body: Buffer, encoding: OtlpEncoding): Span[] =>
  encoding === 'protobuf' ? decodeProtobuf(body) : decodeJson(body);
