import { endOfString, type JsonElement } from './json-array.ts';

/** A JSON text without the objects that were in its lists, and these. */
export interface JsonDocument {
  frame: string;
  elements: JsonElement[];
}

/** Objects deeper in lists and objects than this are nobody's messages. */
const DEPTH_MAX = 64;

/**
 * Takes the objects out of the lists of a text that is valid JSON, each in its own words: the messages of a request,
 * however its sender wraps them. What remains is the same from call to call while only the history grows. Objects inside
 * such an object stay in it. `undefined` where there are none, or more than `elementsMax`.
 */
export function splitJsonDocument(text: string, elementsMax: number): JsonDocument | undefined {
  const elements: JsonElement[] = [];
  let frame = '';
  let from = 0;
  const open: string[] = [];
  // The text is known to be valid, so outside strings every bracket is one.
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') i = endOfString(text, i);
    else if (c === ']' || c === '}') open.pop();
    else if (c === '{' && open.at(-1) === '[') {
      if (elements.length === elementsMax) return undefined;
      const end = endOfObject(text, i);
      const element = text.slice(i, end);
      elements.push({ text: element, value: JSON.parse(element) });
      frame += text.slice(from, i);
      // With its comma, and the space around that: otherwise what remains would grow with the list.
      SEPARATOR.lastIndex = end;
      SEPARATOR.test(text);
      from = SEPARATOR.lastIndex;
      i = from - 1;
    } else if ((c === '[' || c === '{') && open.push(c) > DEPTH_MAX) return undefined;
  }
  return elements.length === 0 ? undefined : { frame: frame + text.slice(from), elements };
}

const SEPARATOR = /\s*,?\s*/y;

function endOfObject(text: string, start: number): number {
  let depth = 0;
  for (let i = start; ; i++) {
    const c = text[i];
    if (c === '"') i = endOfString(text, i);
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
  }
}
