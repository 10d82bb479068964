import { hash } from 'node:crypto';

/** Text as it is compared: Unicode NFC, runs of white space as one space, none at the ends. Case stays. */
export const normalizeText = (text: string): string => text.normalize('NFC').replace(/\s+/g, ' ').trim();

/** Address of a piece of content, or of a normalised input: the first 128 bits of SHA-256, hexadecimal. */
export const contentHash = (text: string): string => hash('sha256', text).slice(0, 32);

/** Hash by which a run's input meets its golden item. */
export const inputHash = (text: string): string => contentHash(normalizeText(text));
