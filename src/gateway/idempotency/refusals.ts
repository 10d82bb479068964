import { LoopscopeError } from '../../errors.ts';

/** What a caller with an `Idempotency-Key` may be told instead of an answer. */

export const mismatch = () =>
  new LoopscopeError(
    'idempotency_mismatch',
    'This Idempotency-Key came with another request before: the method, the path or the body was not the same. ' +
      'Repeat that request exactly, or send this one with a key of its own.',
  );

export const inFlight = () =>
  new LoopscopeError(
    'idempotency_in_flight',
    'The first request with this Idempotency-Key is still being answered, and its answer cannot be followed from ' +
      'here. Try again when it is over.',
  );

export const full = () =>
  new LoopscopeError(
    'overloaded',
    'More calls with an Idempotency-Key are under way than the gateway can record. Try again in a while, or raise ' +
      '`gateway.idempotency.bytes_max` and `answers_max`.',
  );
