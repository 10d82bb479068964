import { InvalidArgumentError } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { LIMITS } from '../span/limits.ts';
import type { CliContext } from './context.ts';

/** Reads an option that takes a positive whole number. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('Expected a positive whole number.');
  return value;
}

/** Reads an option that takes a positive number. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || text.trim() === '')
    throw new InvalidArgumentError('Expected a positive number.');
  return value;
}

/** Refuses a loop that is neither registered nor among those that ever called, so that a typo is not "no data". */
export function requireKnownLoop(context: CliContext, loop: string, seen: Iterable<string>): void {
  const known = new Set([...context.registry().loops.keys(), ...seen]);
  if (known.has(loop)) return;
  const names = known.size > 0 ? `Known loops: ${[...known].sort().join(', ')}.` : 'No loop has called yet.';
  throw new LoopscopeError(
    'not_found',
    `There is no loop "${loop}": it is not in loops/ and has made no run. ${names}`,
  );
}

/** Refuses what cannot be the name of a loop, an agent or a dataset. */
export function requireName(option: string, name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) && name.length <= LIMITS.nameLengthMax) return;
  throw new LoopscopeError(
    'usage',
    `${option}: expected a name of letters, digits, ".", "_" and "-", at most ${LIMITS.nameLengthMax}; found ${JSON.stringify(name)}.`,
  );
}

/** A text that people give as an option, without the space around it. */
export function oneLine(option: string, given: string, lengthMax: number): string {
  const trimmed = given.trim();
  if (trimmed !== '' && trimmed.length <= lengthMax && !/\p{Cc}/u.test(trimmed)) return trimmed;
  throw new LoopscopeError(
    'usage',
    `${option}: expected one line of 1 to ${lengthMax} characters; found ${JSON.stringify(given.slice(0, 50))}.`,
  );
}
