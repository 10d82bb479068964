import { LoopscopeError } from '../../src/errors.ts';
import { LIMITS } from '../../src/span/limits.ts';

/** The two refusals of this stage. The body is not what its content type says: */
export const malformed = (message: string): LoopscopeError => new LoopscopeError('bad_input', message);

/** It would decode into more than memory should hold: */
export const tooManyObjects = (): LoopscopeError =>
  new LoopscopeError(
    'body_too_large',
    `The request holds more spans, events and attributes than one request may (limit ${LIMITS.otlpObjectsMax}, where a span counts 20, an event or link 10, an attribute 1). Send smaller batches.`,
  );
