import { contentHash } from '../records/normalize.ts';
import { LIMITS } from '../span/limits.ts';
import type { Caller } from './identity.ts';
import type { Attributes } from './record/span-draft.ts';

/** What was said, as far as a loop has it kept, and as far as an attribute has room for it. */
export type Capture = 'off' | 'hashed' | 'full';

export const captureOf = (caller: Caller): Capture => caller.definition?.capture ?? 'full';

/** Content that is not on the span, and why. */
export type Missing = Partial<Record<'input' | 'output' | 'tool_definitions', string>>;

/** A text where it is kept, or its hash. */
export function addText(
  attributes: Attributes,
  capture: Capture,
  text: string,
  textName: string,
  hashName: string,
): void {
  if (capture === 'off' || text === '') return;
  const whole = capture === 'full' ? fitting(text) : undefined;
  if (whole === undefined) attributes.add(hashName, contentHash(text));
  else attributes.add(textName, whole);
}

/** Content that an attribute has room for; half a document would be read as a whole one. */
export function fitting(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const { attributeValueBytesMax } = LIMITS;
  const mayBeLonger = 3 * text.length > attributeValueBytesMax;
  return mayBeLonger && Buffer.byteLength(text) > attributeValueBytesMax ? undefined : text;
}
