/** Where a message's own name stands between its number and its fields, as OpenInference has it. */
const INFIX = /^(?:message|prompt|completion|tool|document|embedding)\./;

/**
 * Messages that were sent as a handful of attributes each, `0.role` and `0.content`. One becomes a JSON object of its
 * fields, by their names: whoever is asked again with it sends the same fields, and not always in the same order.
 */
export class NumberedMessages {
  private readonly byNumber = new Map<number, [field: string, value: string][]>();
  /** What is under the prefix and has no number. */
  private static readonly UNNUMBERED = Number.POSITIVE_INFINITY;

  /** `name` begins with the number. */
  add(name: string, value: string): void {
    const digits = /^\d{1,9}(?=\.)/.exec(name)?.[0];
    const number = digits === undefined ? NumberedMessages.UNNUMBERED : Number(digits);
    const field = digits === undefined ? name : name.slice(digits.length + 1).replace(INFIX, '');
    const fields = this.byNumber.get(number);
    if (fields) fields.push([field, value]);
    else this.byNumber.set(number, [[field, value]]);
  }

  /** By number; past `max` all in one. */
  messages(max: number): { role: string | undefined; content: string }[] {
    const numbers = [...this.byNumber].sort(([a], [b]) => a - b);
    if (numbers.length > max) return [{ role: undefined, content: JSON.stringify(numbers) }];
    return numbers.map(([, fields]) => ({
      role: fields.find(([field]) => field === 'role')?.[1],
      content: JSON.stringify(Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)))),
    }));
  }
}
