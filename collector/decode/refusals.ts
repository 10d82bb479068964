import { LoopscopeError } from '../../src/errors.ts';
import { LIMITS } from '../../src/span/limits.ts';

/** Refusals of what cannot be read, or not be held. The body is not what its content type says: */
export const malformed = (message: string): LoopscopeError => new LoopscopeError('bad_input', message);

/** It would decode into more than memory should hold: */
export const tooManyObjects = (): LoopscopeError =>
  new LoopscopeError(
    'body_too_large',
    `The request holds more spans, events and attributes than one request may (limit ${LIMITS.otlpObjectsMax}, where a span counts 20, an event or link 10, an attribute 1). Send smaller batches.`,
  );

/** So would its rows, as what many of them share is in each: */
export const rowsTooLong = (): LoopscopeError =>
  new LoopscopeError(
    'body_too_large',
    `The request's rows are longer than ${LIMITS.rowsPerRequestLengthMax} characters, with their resource and scope in each. Send smaller batches.`,
  );
