import { LIMITS } from '../span/limits.ts';
import { readLines } from './lines.ts';
import { RunRecord } from './record.ts';

/** A line's record, or what is wrong with the line. */
export type ReadRecord = { line: number; record: RunRecord } | { line: number; error: string };

/**
 * Reads run records, one JSON object a line; blank lines do not count. A bad line is reported with its number, the
 * field, what was expected and what came, and does not stop what follows. Fields that are `null` count as absent.
 * Throws `not_found` or `bad_input` when the file itself cannot be read.
 */
export async function* readRecords(path: string): AsyncGenerator<ReadRecord> {
  for await (const { line, bytes } of readLines(path, LIMITS.recordLineBytesMax)) {
    if (bytes === undefined) {
      yield { line, error: `expected at most ${LIMITS.recordLineBytesMax} bytes, found a longer line` };
      continue;
    }
    const text = bytes.toString('utf8').replace(/^\ufeff/, '');
    if (text.trim() === '') continue;
    yield { line, ...parseRecord(text) };
  }
}

/** One line's record, or what is wrong with it. */
export function parseRecord(text: string): { record: RunRecord } | { error: string } {
  let value: unknown;
  try {
    value = JSON.parse(text, (_key, inner) => inner ?? undefined);
  } catch (error) {
    return { error: `expected a JSON object: ${(error as Error).message.slice(0, 200)}` };
  }
  const parsed = RunRecord.safeParse(value);
  if (parsed.success) return { record: parsed.data };
  const complaints = parsed.error.issues.map(({ path, message }) => {
    const field = path.join('.');
    const said = message.replace(/^Invalid input: /, '').replace(/, received .*$/, '');
    return `${field ? `${field}: ` : ''}${said}, found ${found(value, path)}`;
  });
  return { error: complaints.join('; ') };
}

const FOUND_LENGTH_MAX = 60;

function found(value: unknown, path: readonly PropertyKey[]): string {
  let at: unknown = value;
  for (const field of path) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[field];
  if (at === undefined) return 'nothing';
  const text = JSON.stringify(at);
  return text.length > FOUND_LENGTH_MAX ? `${text.slice(0, FOUND_LENGTH_MAX)}…` : text;
}
