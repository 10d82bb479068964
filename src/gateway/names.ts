import { LoopscopeError } from '../errors.ts';
import { LIMITS } from '../span/limits.ts';

/** Names reach spans, tables and shells: only characters that mean nothing anywhere. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
/** Run and agent ids come from other systems, which like a few more. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._:@+=~-]*$/;
/** Ids and versions of the user's own: any visible ASCII. */
const LABEL = /^[\x20-\x7e]+$/;

const KINDS = {
  name: { pattern: NAME, allowed: 'letters, digits, ".", "_" and "-", beginning with a letter or digit' },
  id: {
    pattern: ID,
    allowed: 'letters, digits and any of . _ : @ + = ~ -, beginning with a letter or digit',
  },
  label: { pattern: LABEL, allowed: 'printable ASCII' },
} as const;

/** `value` if it is one, `undefined` if there is none. Throws `bad_input` naming `what`. */
export function checked<V extends string | undefined>(what: string, kind: keyof typeof KINDS, value: V): V {
  if (value === undefined) return value;
  const { pattern, allowed } = KINDS[kind];
  if (value.length <= LIMITS.nameLengthMax && pattern.test(value)) return value;
  throw new LoopscopeError(
    'bad_input',
    `${what}: expected 1 to ${LIMITS.nameLengthMax} characters (${allowed}); got ${JSON.stringify(value.slice(0, 60))}.`,
  );
}
