import type { OtlpEncoding } from '../../src/span/batch.ts';
import { decodeJson } from './json.ts';
import type { Point } from './point.ts';
import { decodeProtobuf } from './protobuf.ts';

/** The data points of an OTLP metrics export request. Throws `bad_input` or `body_too_large` and nothing else. */
export const decodeMetrics = (body: Buffer, encoding: OtlpEncoding): Point[] =>
  encoding === 'protobuf' ? decodeProtobuf(body) : decodeJson(body);
