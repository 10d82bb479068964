import { LIMITS } from '../../src/span/limits.ts';
import { malformed, tooManyObjects } from './refusals.ts';

/** Opening brackets a body may have, in strings or not: counted before parsing, as parsing them takes the memory. */
const BRACKETS_MAX = 2 * LIMITS.otlpObjectsMax;

/**
 * Parses JSON, with integers past 2^53 kept as strings of their digits instead of the nearest double: times in
 * nanoseconds are that large, and some senders do not quote them. Throws `bad_input`, `body_too_large`.
 */
export function parseExactJson(body: Buffer): unknown {
  if (body.length > BRACKETS_MAX && brackets(body) > BRACKETS_MAX) throw tooManyObjects();
  const text = body.toString('utf8');
  try {
    // The reviver costs several times the parsing, so it is used only where a bare long number may be.
    return /[:,[]\s*-?\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
  } catch (error) {
    throw malformed(`JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? source : value;
}

function brackets(body: Buffer): number {
  let count = 0;
  for (const byte of body) if (byte === 0x7b || byte === 0x5b) count++;
  return count;
}
