import type { IncomingHttpHeaders } from 'node:http';
import { type FailureReason, isOurOwn } from './failure.ts';
import type { CallPolicy } from './settings.ts';

/**
 * Whether to try again, and how long to wait: decisions only. The rules are those of the official SDKs, whose
 * headers these are, but for 409: they take it for a lock that was not free, and not every provider means that.
 */

/** What an answer says about trying again. */
export interface RetryAdvice {
  /** `x-should-retry`, which wins over everything else. */
  should: boolean | undefined;
  /** `retry-after-ms`, else `retry-after` in seconds or as a date. */
  afterMs: number | undefined;
}

const RETRYABLE = new Set([408, 429, 500, 502, 503, 504, 529]);
/** What a provider answers before it has done anything. */
const NOTHING_DONE: ReadonlySet<FailureReason> = new Set([
  'connect_failed',
  'connect_timeout',
  'http_429',
  'http_503',
  'http_529',
] as const);

/** Reads an answer's headers: name, value, name, value, … */
export function retryAdvice(headers: readonly string[], nowMs: number): RetryAdvice {
  let should: boolean | undefined;
  let ms: number | undefined;
  let after: number | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const value = headers[i + 1]!.trim();
    switch (headers[i]!.toLowerCase()) {
      case 'x-should-retry':
        if (value === 'true') should = true;
        else if (value === 'false') should = false;
        break;
      case 'retry-after-ms':
        ms = duration(value);
        break;
      case 'retry-after': {
        const seconds = duration(value);
        const date = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
        if (seconds !== undefined) after = seconds * 1000;
        // A date in the past: now.
        else if (!Number.isNaN(date)) after = Math.max(0, date - nowMs);
        break;
      }
    }
  }
  return { should, afterMs: ms ?? after };
}

/** Begins with a day's name. `Date.parse` alone takes much more for a date, `-1` for one. */
const HTTP_DATE = /^[A-Z][a-z]{2,8},? \S/;

const duration = (text: string): number | undefined =>
  /^\d{1,12}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined;

/** Whether an answer of this status is one that another attempt may better. */
export const isRetryableStatus = (status: number, should: boolean | undefined): boolean =>
  should ?? RETRYABLE.has(status);

/**
 * Whether a request may be sent again after this. One that is no model call may have been carried out though its
 * answer was lost, and creating something twice is worse than an error.
 */
export const mayRepeat = (reason: FailureReason, repeatable: boolean, should?: boolean): boolean =>
  !isOurOwn(reason) && (repeatable || should === true || NOTHING_DONE.has(reason));

/**
 * How long to wait before a target is tried for the `n`th further time, counted from 1; `undefined` when it asks for
 * more than we wait. What it asks for wins, and a little more, so that not all come back at once. Else, and where it
 * says "now", full jitter: uniform up to a bound that doubles ("Exponential Backoff And Jitter", AWS Architecture Blog).
 */
export function retryWaitMs(
  n: number,
  afterMs: number | undefined,
  policy: Pick<CallPolicy, 'initialWaitMs' | 'waitMsMax' | 'retryAfterMsMax'>,
  random: number,
): number | undefined {
  const { initialWaitMs, waitMsMax, retryAfterMsMax } = policy;
  if (!afterMs) return random * Math.min(waitMsMax, initialWaitMs * 2 ** (n - 1));
  if (afterMs > retryAfterMsMax) return undefined;
  return afterMs + random * Math.min(initialWaitMs, afterMs / 10);
}

/** How long a caller waits, in milliseconds; `Infinity` where it does not say. */
export interface CallerTimeouts {
  /** For an answer to begin. */
  answerMs: number;
  /** For all of it. */
  totalMs: number;
}

const PATIENT: CallerTimeouts = { answerMs: Number.POSITIVE_INFINITY, totalMs: Number.POSITIVE_INFINITY };

/**
 * What a caller's headers say of its patience. The official SDKs for JavaScript send `x-stainless-timeout`, after
 * which they give up on an answer's headers, and those for Python `x-stainless-read-timeout`, their longest silence;
 * both in seconds, and both anew for each of the SDK's own retries. `x-request-timeout-ms` bounds the whole call.
 */
export function callerTimeouts(headers: IncomingHttpHeaders): CallerTimeouts {
  const answer = headers['x-stainless-timeout'] ?? headers['x-stainless-read-timeout'];
  const total = headers['x-request-timeout-ms'];
  if (answer === undefined && total === undefined) return PATIENT;
  const answerS = typeof answer === 'string' ? duration(answer) : undefined;
  const totalMs = (typeof total === 'string' ? duration(total) : undefined) || Number.POSITIVE_INFINITY;
  // The SDKs cut to whole seconds: 0 is less than one, not none.
  const answerMs = answerS === undefined ? Number.POSITIVE_INFINITY : Math.max(answerS, 1) * 1000;
  return { answerMs: Math.min(answerMs, totalMs), totalMs };
}
