import type { OtlpEncoding, Prepared } from '../../src/span/batch.ts';
import { admit } from './admit.ts';
import { decodeMetrics } from './decode.ts';
import { metricChunks } from './rows.ts';

/** From a request for `/v1/metrics` to rows. Throws `bad_input` or `body_too_large`. */
export function prepareMetrics(body: Buffer, encoding: OtlpEncoding): Prepared {
  const { points, rejected, cut } = admit(decodeMetrics(body, encoding));
  return { chunks: metricChunks(points), items: points.length, rejected, cut, kept: () => {} };
}
