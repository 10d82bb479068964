import { createHash } from 'node:crypto';

/**
 * Trace and span ids that anyone can compute from names alone. A run's trace id follows from its loop and
 * run id, an agent's span id from the trace id and the agent's path, so that any gateway can parent a call
 * on a run or agent that another gateway opened, and none has to remember them.
 */

const digest = (parts: readonly string[]) => createHash('sha256').update(parts.join('\0')).digest('hex');

/** The trace of a run: 32 lower-case hex digits, never all zero. */
export const runTraceId = (loop: string, runId: string): string =>
  digest(['run', loop, runId]).slice(0, 32).replace(/^0+$/, '1'.padStart(32, '0'));

/** The span of a run in its trace: 16 lower-case hex digits. */
export const runSpanId = (traceId: string): string => spanIdOf(['workflow', traceId]);

/** The span of an agent; `path` is the agent's name behind its parent's, such as `['maker', 'searcher']`. */
export const agentSpanId = (traceId: string, path: readonly string[]): string =>
  spanIdOf(['agent', traceId, ...path]);

/** A span id that is the same whenever the same thing is said again, so that a repeat is recognised. */
export const recordSpanId = (traceId: string, ...what: readonly string[]): string =>
  spanIdOf(['record', traceId, ...what]);

const spanIdOf = (parts: readonly string[]) =>
  digest(parts).slice(0, 16).replace(/^0+$/, '1'.padStart(16, '0'));
