import type { SpanKind, StatusCode } from '../../src/span/span.ts';

/** OTLP's numbers for kinds and status codes, in order. A number from a later version reads as the first. */
export const KINDS: readonly SpanKind[] = [
  'Unspecified',
  'Internal',
  'Server',
  'Client',
  'Producer',
  'Consumer',
];
export const STATUS_CODES: readonly StatusCode[] = ['Unset', 'Ok', 'Error'];

export const spanKind = (n: number): SpanKind => KINDS[n] ?? 'Unspecified';
export const statusCode = (n: number): StatusCode => STATUS_CODES[n] ?? 'Unset';

/** As JSON has them: the number, or the name in the protocol (`SPAN_KIND_CLIENT`, `STATUS_CODE_ERROR`). */
export const spanKindOf = (value: unknown): SpanKind =>
  typeof value === 'string' ? named(KINDS, 'SPAN_KIND_', value) : spanKind(Number(value ?? 0));
export const statusCodeOf = (value: unknown): StatusCode =>
  typeof value === 'string' ? named(STATUS_CODES, 'STATUS_CODE_', value) : statusCode(Number(value ?? 0));

function named<T extends string>(names: readonly T[], prefix: string, value: string): T {
  const name = value.startsWith(prefix) ? value.slice(prefix.length).toLowerCase() : value;
  return names.find((n, i) => n.toLowerCase() === name || String(i) === name) ?? names[0]!;
}
