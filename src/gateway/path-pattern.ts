/**
 * A path as names, logs and messages show it: ids give way to `{id}`, so that what is shown is one of few, and a key that
 * somebody put into a path is nowhere shown. What is no plain word is an id.
 */
export function pathPattern(path: string): string {
  const segments = path.split('/', SEGMENTS_MAX);
  return segments.map((segment) => (WORD.test(segment) ? segment : '{id}')).join('/') || '/';
}

const SEGMENTS_MAX = 10;
/** `chat`, `count_tokens`, `v1`, `v1beta`, or nothing between two slashes. */
const WORD = /^(v\d{1,2}[a-z]{0,8}\d{0,2}|[a-z][a-z_]{0,30})?$/;
