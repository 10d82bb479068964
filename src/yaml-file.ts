import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { LoopscopeError } from './errors.ts';

/**
 * Reads a YAML file by a zod schema. Every complaint names the file, the line, the field, what was expected
 * and what stands there. Throws `config_invalid` with all complaints, a line each.
 */
export function readYamlFile<S extends z.ZodType>(path: string, schema: S): z.infer<S> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new LoopscopeError('config_invalid', `${path}: cannot be read: ${(error as Error).message}`);
  }
  return parseYaml(path, text, schema);
}

/** As `readYamlFile`, of text already at hand; `path` is for the messages. */
export function parseYaml<S extends z.ZodType>(path: string, text: string, schema: S): z.infer<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const complaints = document.errors.map((e) => `${path}:${lines.linePos(e.pos[0]).line}: ${e.message}`);
    throw new LoopscopeError('config_invalid', complaints.join('\n'));
  }
  const value: unknown = document.toJS() ?? {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;

  const lineOf = (fields: readonly PropertyKey[]): number => {
    for (let depth = fields.length; depth > 0; depth--) {
      const node = document.getIn(fields.slice(0, depth), true) as
        | { range?: [number, number, number] }
        | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const complaints = parsed.error.issues.flatMap((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys.map((key) => {
      const fields = key === undefined ? issue.path : [...issue.path, key];
      const message = key === undefined ? issue.message : 'unknown field; check its spelling';
      return `${path}:${lineOf(fields)}: ${fields.join('.') || '(top level)'}: ${message}${came(value, fields)}`;
    });
  });
  throw new LoopscopeError('config_invalid', complaints.join('\n'));
}

function came(value: unknown, fields: readonly PropertyKey[]): string {
  let at: unknown = value;
  for (const field of fields) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[field];
  return at === undefined ? '' : ` (found ${JSON.stringify(at)?.slice(0, 80)})`;
}
