import { normalizeText } from '../../src/records/normalize.ts';
import type { Scorer } from './scorer.ts';

/** Text without what should not matter: white space, Unicode form and case. */
export const plain = (text: string): string => normalizeText(text).toLowerCase().normalize('NFC');

/** Right when the answer reads the same as what was expected. */
export const text = (): Scorer => (output, expected) => (plain(output) === plain(expected) ? 1 : 0);
