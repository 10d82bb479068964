/** An element of a JSON array: its own text, without the white space around it, and its value. */
export interface JsonElement {
  text: string;
  value: unknown;
}

/** What a JSON text says, or `undefined` where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Takes a JSON array, `values` by its text, apart into its elements' own texts, so that what is kept is what was sent (a
 * number of twenty digits stays one).
 */
export function splitJsonArray(text: string, values: readonly unknown[]): JsonElement[] {
  const elements: JsonElement[] = [];
  const open = text.indexOf('[');
  let start = open + 1;
  let depth = 0;
  // The text is known to be valid, so counting brackets outside strings finds every element's end.
  for (let i = open; elements.length < values.length; i++) {
    const c = text[i];
    if (c === '"') i = endOfString(text, i);
    else if (c === '[' || c === '{') depth++;
    else if (c === ']' || c === '}') depth--;
    if (depth === 0 || (depth === 1 && c === ',')) {
      elements.push({ text: text.slice(start, i).trim(), value: values[elements.length] });
      start = i + 1;
    }
  }
  return elements;
}

/** Where a string that begins at `quote` ends; the text is valid JSON. */
export function endOfString(text: string, quote: number): number {
  let i = quote + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i;
}
