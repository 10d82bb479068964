import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { CsvError, parse as parseCsv } from 'csv-parse/sync';
import type { Clock } from '../src/clock.ts';
import { LoopscopeError } from '../src/errors.ts';
import { contentHash, inputHash } from '../src/records/normalize.ts';
import type { Store } from '../src/store/client.ts';
import { type GoldenRow, insertVersion, loadIndex, newestVersion } from '../src/store/golden.ts';

/**
 * Golden data from a file: JSON lines or CSV. A file is taken as a whole or not at all, since a version with
 * holes would be a different measure under the same name.
 */

/** Complaints told at once; the rest are counted. */
const COMPLAINTS_MAX = 20;
const ID_HEX_DIGITS = 12;

/** An item as the file has it, its line, and nothing checked yet. */
interface RawItem {
  line: number;
  input: unknown;
  expected: unknown;
  id: unknown;
  tags: unknown;
}

export interface Imported {
  dataset: string;
  version: string;
  items: number;
  /** `false` when this very content was in force already, and nothing was written. */
  changed: boolean;
}

/**
 * Imports `path` (`.csv`, or else JSON lines) as the new version of `dataset`. The same content again is a no-op.
 * Throws `bad_input` naming every bad line and field; nothing is loaded then.
 */
export async function importGolden(
  { store, clock }: { store: Store; clock: Clock },
  { path, dataset }: { path: string; dataset: string },
): Promise<Imported> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new LoopscopeError('bad_input', `${path}: cannot be read: ${(error as Error).message}`);
  }
  const items = parseGolden(path, text);
  const version = versionOf(items);
  const changed = (await newestVersion(store, dataset)) !== version;
  if (changed) await insertVersion(store, { dataset, version, importedAt: clock.now() }, items);
  return { dataset, version, items: items.length, changed };
}

/** An item to be added: its id where it has one already. */
export type NewItem = Pick<GoldenRow, 'input' | 'expected' | 'tags'> & { id?: string | undefined };

export interface Added extends Imported {
  added: number;
  /** Items of the same input that had another answer or other tags until now. */
  replaced: number;
}

/**
 * Makes the version in force of `dataset` with these items besides a new version. An item whose input is there already
 * takes the place of that one and keeps its id; of several with one input the last counts.
 */
export async function addGolden(
  { store, clock }: { store: Store; clock: Clock },
  { dataset, items }: { dataset: string; items: readonly NewItem[] },
): Promise<Added> {
  const index = await loadIndex(store, dataset);
  const byInput = new Map(index?.byInput);
  const ids = new Set(index?.byItem.keys());
  for (const { input, expected, tags, id } of items) {
    const input_hash = inputHash(input);
    const wanted = id !== undefined && !ids.has(id) ? id : input_hash.slice(0, ID_HEX_DIGITS);
    const item_id = byInput.get(input_hash)?.item_id ?? wanted;
    ids.add(item_id);
    byInput.set(input_hash, { item_id, input_hash, input, expected, tags });
  }
  const rows = [...byInput.values()];
  const version = versionOf(rows);
  const changed = version !== index?.version;
  if (changed) await insertVersion(store, { dataset, version, importedAt: clock.now() }, rows);
  const given = new Set(items.map(({ input }) => inputHash(input)));
  const known = [...given].filter((hash) => index?.byInput.has(hash));
  const isOther = (hash: string) =>
    JSON.stringify(index?.byInput.get(hash)) !== JSON.stringify(byInput.get(hash));
  return {
    dataset,
    version,
    items: rows.length,
    changed,
    added: given.size - known.length,
    replaced: known.filter(isOther).length,
  };
}

/** The version of golden data: a hash of its content, whatever order the file has it in. */
export function versionOf(items: readonly GoldenRow[]): string {
  const sorted = items
    .map(({ item_id, input, expected, tags }) => [item_id, input, expected, [...tags].sort()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return contentHash(JSON.stringify(sorted));
}

/** The items of a file's text; `path` tells CSV from JSON lines and is named in complaints. Throws `bad_input`. */
export function parseGolden(path: string, text: string): GoldenRow[] {
  const complaints: string[] = [];
  const complain = (line: number, field: string, what: string) =>
    complaints.push(`${basename(path)}:${line}: ${field}: ${what}`);
  const raw = /\.csv$/i.test(path) ? readCsv(text, complain) : readJsonLines(text, complain);
  const items: GoldenRow[] = [];
  const lineOfId = new Map<string, number>();
  const lineOfInput = new Map<string, number>();
  for (const item of raw) {
    const row = toRow(item, complain);
    if (!row) continue;
    const sameId = lineOfId.get(row.item_id);
    const sameInput = lineOfInput.get(row.input_hash);
    if (sameInput !== undefined)
      complain(item.line, 'input', `the same input stands in line ${sameInput}. Keep one of the two.`);
    else if (sameId !== undefined)
      complain(
        item.line,
        'id',
        `the id ${JSON.stringify(row.item_id)} stands in line ${sameId} too. Give each item its own.`,
      );
    lineOfId.set(row.item_id, sameId ?? item.line);
    lineOfInput.set(row.input_hash, sameInput ?? item.line);
    items.push(row);
  }
  if (complaints.length === 0 && items.length === 0)
    complain(1, 'file', 'expected at least one item with input and expected, found none');
  if (complaints.length > 0) throw refusal(complaints);
  return items;
}

type Complain = (line: number, field: string, what: string) => void;

function refusal(complaints: readonly string[]): LoopscopeError {
  const shown = complaints.slice(0, COMPLAINTS_MAX);
  const hidden = complaints.length - shown.length;
  if (hidden > 0) shown.push(`and ${hidden} more`);
  return new LoopscopeError(
    'bad_input',
    `${shown.join('\n')}\nNothing was imported. Correct these lines and import again.`,
  );
}

function readJsonLines(text: string, complain: Complain): RawItem[] {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((content, index) => {
      if (content.trim() === '') return [];
      const line = index + 1;
      try {
        const value: unknown = JSON.parse(content);
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
          const { input, expected, id, tags } = value as Record<string, unknown>;
          return [{ line, input, expected, id, tags }];
        }
        complain(
          line,
          '(line)',
          `expected a JSON object such as {"input":"…","expected":"…"}, found ${show(value)}`,
        );
      } catch (error) {
        complain(line, '(line)', `expected a JSON object: ${(error as Error).message}`);
      }
      return [];
    });
}

function readCsv(text: string, complain: Complain): RawItem[] {
  let records: { record: string[]; raw: string; info: { lines: number } }[];
  try {
    records = parseCsv(text, {
      bom: true,
      info: true,
      raw: true,
      relax_column_count: true,
      skip_empty_lines: true,
    }) as unknown as typeof records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    complain(Number(error['lines'] ?? 1), '(line)', error.message);
    return [];
  }
  const header = records[0]?.record.map((column) => column.trim().toLowerCase()) ?? [];
  for (const column of ['input', 'expected'])
    if (!header.includes(column)) {
      complain(
        1,
        column,
        `expected a header with the columns input and expected, found ${show(header.join(','))}`,
      );
      return [];
    }
  return records.slice(1).flatMap(({ record, raw, info }) => {
    const line = info.lines - (raw.trimEnd().split('\n').length - 1);
    if (record.length !== header.length) {
      complain(line, '(line)', `expected ${header.length} fields as in the header, found ${record.length}`);
      return [];
    }
    const field = (column: string) => record[header.indexOf(column)] || undefined;
    const tags = field('tags')
      ?.split(';')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== '');
    return [{ line, input: field('input'), expected: field('expected'), id: field('id'), tags }];
  });
}

function toRow(item: RawItem, complain: Complain): GoldenRow | undefined {
  const { line } = item;
  const input = asText(item.input);
  const expected = asText(item.expected);
  const { id, tags = [] } = item;
  const idFits = id === undefined || (typeof id === 'string' && id !== '') || typeof id === 'number';
  const tagsFit = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string');
  if (!input) complain(line, 'input', `expected text, found ${show(item.input)}`);
  if (expected === undefined)
    complain(line, 'expected', `expected text, a number, true, false or JSON, found ${show(item.expected)}`);
  if (!idFits) complain(line, 'id', `expected text, found ${show(id)}`);
  if (!tagsFit) complain(line, 'tags', `expected a list of text, found ${show(tags)}`);
  if (!input || expected === undefined || !idFits || !tagsFit) return undefined;
  const hash = inputHash(input);
  return {
    item_id: id === undefined ? hash.slice(0, ID_HEX_DIGITS) : String(id),
    input_hash: hash,
    input,
    expected,
    tags: tags as string[],
  };
}

/** Text as it is, everything else as JSON; `undefined` where there is nothing. */
const asText = (value: unknown): string | undefined =>
  value === undefined || value === null
    ? undefined
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);

const show = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80));
