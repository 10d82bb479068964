/** JSON as models answer with it. */

const FENCE = /```(?:json)?[^\S\n]*\n([\s\S]*?)```/i;

/** The JSON of an answer, bare or in its first fence; `undefined` where there is none. */
export function parseAnswer(output: string): unknown {
  const bare = parseJson(output);
  if (bare !== undefined) return bare;
  const fenced = FENCE.exec(output)?.[1];
  return fenced === undefined ? undefined : parseJson(fenced);
}

/** `undefined` where the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
