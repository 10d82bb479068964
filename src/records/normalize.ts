import { hash } from 'node:crypto';

/** Text as it is compared: Unicode NFC, runs of white space as one space, none at the ends. Case stays. */
export function normalizeText(text: string): string {
  const trimmed = text.trim();
  return isNormal(trimmed) ? trimmed : trimmed.normalize('NFC').replace(UNEVEN, ' ');
}

/** White space that is not one space; single spaces, which are most of it, stay as they are. */
const UNEVEN = /[^\S ]\s*| \s+/g;

/** Printable ASCII with single spaces inside, which most texts are, is normal already, and that is quick to see. */
const isNormal = (text: string): boolean => !/[^\x20-\x7e]| {2}/.test(text);

/** Address of a piece of content, or of a normalised input: the first 128 bits of SHA-256, hexadecimal. */
export const contentHash = (text: string): string => hash('sha256', text).slice(0, 32);

/** Hash by which a run's input meets its golden item. */
export const inputHash = (text: string): string => contentHash(normalizeText(text));
