import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes } from '../../src/span/span.ts';

/** The longest beginning of `text` that is at most `bytesMax` long in UTF-8 and ends between characters. */
export function cutText(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--; // back over a character's later bytes
  return bytes.toString('utf8', 0, end);
}

/** Removes all but the first `max` attributes; tells whether it removed any. */
export function keepFirst(attributes: Attributes, max: number): boolean {
  let seen = 0;
  let removed = false;
  for (const key in attributes) {
    if (++seen <= max) continue;
    delete attributes[key];
    removed = true;
  }
  return removed;
}

/** Brings attributes within `LIMITS`, telling of what it cuts. */
export function boundAttributes(attributes: Attributes, onCut: (what: 'attributes' | 'value') => void): void {
  if (keepFirst(attributes, LIMITS.attributesPerSpanMax)) onCut('attributes');
  for (const key in attributes) {
    const value = attributes[key]!;
    if (value.length * 3 <= LIMITS.attributeValueBytesMax) continue;
    const text = cutText(value, LIMITS.attributeValueBytesMax);
    if (text !== value) onCut('value');
    attributes[key] = text;
  }
}
