/** Whether a loop's name fits a pattern, in which `*` stands for anything and `?` for one character. */
export function matchesLoop(pattern: string, loop: string): boolean {
  // By hand: a regular expression made of several * takes time that grows with their number.
  let p = 0;
  let l = 0;
  let star = -1;
  let resumeAt = 0;
  while (l < loop.length) {
    if (pattern[p] === '*') {
      star = p++;
      resumeAt = l;
    } else if (pattern[p] === '?' || pattern[p] === loop[l]) {
      p++;
      l++;
    } else if (star >= 0) {
      p = star + 1;
      l = ++resumeAt;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
