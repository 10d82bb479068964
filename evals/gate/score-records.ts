import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { readRecords } from '../../src/records/read.ts';
import type { RunRecord } from '../../src/records/record.ts';
import type { GoldenRow } from '../../src/store/golden.ts';
import { scoreAnswer } from '../scorers/registry.ts';
import type { Scorer, ScorerUsage } from '../scorers/scorer.ts';
import { type ItemScore, SCORES_MAX } from './score-set.ts';

/**
 * Scores run records by a suite's scorer, with no store: what a changed prompt answered in CI. A record meets its item by
 * the id it names or by its input, as runs do; without golden data it brings what was expected itself. A score that it
 * brings stands.
 */
export interface ScoredRecords {
  scores: ItemScore[];
  /** Lines that are no records, and what is wrong with the first of them. */
  badLines: number;
  complaints: { line: number; error: string }[];
  /** Records of other loops, those that meet no item, and those past what one scoring takes. */
  otherLoops: number;
  unmatched: number;
  overLimit: number;
  /** What judges took. */
  usage: ScorerUsage;
  /** What scorers flagged, counted. */
  flags: Record<string, number>;
}

export interface ScoreRecords {
  file: string;
  loop: string;
  scorer: Scorer;
  /** `undefined`: records bring their own. */
  golden: readonly GoldenRow[] | undefined;
  onProgress?: (done: number) => void;
}

/** As golden data names an item without an id. */
const ID_HEX_DIGITS = 12;
const COMPLAINTS_MAX = 20;
const ERROR_LENGTH_MAX = 500;

/** Throws `not_found` or `bad_input` where the file cannot be read. */
export async function scoreRecords(options: ScoreRecords): Promise<ScoredRecords> {
  const { file, loop, scorer, golden, onProgress } = options;
  const itemOf = golden ? itemAmong(golden) : itemOfRecord;
  const result: ScoredRecords = {
    scores: [],
    badLines: 0,
    complaints: [],
    otherLoops: 0,
    unmatched: 0,
    overLimit: 0,
    usage: { calls: 0, inputTokens: 0, outputTokens: 0 },
    flags: {},
  };
  const underWay = new Set<Promise<void>>();
  let started = 0;
  let done = 0;
  for await (const read of readRecords(file)) {
    if ('error' in read) {
      result.badLines++;
      if (result.complaints.length < COMPLAINTS_MAX) result.complaints.push(read);
      continue;
    }
    const { record } = read;
    const item = itemOf(record);
    if (record.loop !== loop) result.otherLoops++;
    else if (!item) result.unmatched++;
    else if (started === SCORES_MAX) result.overLimit++;
    else {
      const at = started++;
      const scoring: Promise<void> = scoreOne(record, item, scorer, result).then((row) => {
        result.scores[at] = row;
        underWay.delete(scoring);
        onProgress?.(++done);
      });
      underWay.add(scoring);
      if (underWay.size >= (scorer.atOnceMax ?? 1)) await Promise.race(underWay);
    }
  }
  await Promise.all(underWay);
  return result;
}

/** `expected` is absent where the record brings its score. */
type Item = Pick<GoldenRow, 'item_id' | 'input' | 'tags'> & { expected: string | undefined };

function itemAmong(golden: readonly GoldenRow[]): (record: RunRecord) => Item | undefined {
  const byItem = new Map(golden.map((row) => [row.item_id, row]));
  const byInput = new Map(golden.map((row) => [row.input_hash, row]));
  return ({ item, input }) =>
    (item === undefined ? undefined : byItem.get(item)) ??
    (input === undefined ? undefined : byInput.get(inputHash(input)));
}

function itemOfRecord({ item, input, golden }: RunRecord): Item | undefined {
  const item_id = item ?? (input === undefined ? undefined : inputHash(input).slice(0, ID_HEX_DIGITS));
  if (!item_id || (golden?.expected === undefined && golden?.score === undefined)) return undefined;
  return { item_id, input: input ?? '', tags: [], expected: golden.expected };
}

async function scoreOne(
  record: RunRecord,
  { item_id, input, tags, expected }: Item,
  scorer: Scorer,
  tally: Pick<ScoredRecords, 'usage' | 'flags'>,
): Promise<ItemScore> {
  const row = {
    item: item_id,
    run: record.run,
    score: null,
    error: '',
    reason: '',
    expected_hash: expected === undefined ? '' : contentHash(expected),
  };
  if (record.golden?.score !== undefined) return { ...row, score: record.golden.score };
  if (record.output === undefined || expected === undefined)
    return { ...row, error: 'content_missing: the record has no output to score' };
  const servedModel = record.served_model ?? record.model;
  const scored = await scoreAnswer(scorer, record.output, expected, {
    id: item_id,
    input,
    tags,
    ...(servedModel !== undefined && { servedModel }),
  });
  if ('error' in scored) return { ...row, error: scored.error.slice(0, ERROR_LENGTH_MAX) };
  for (const flag of scored.flags ?? []) tally.flags[flag] = (tally.flags[flag] ?? 0) + 1;
  tally.usage.calls += scored.usage?.calls ?? 0;
  tally.usage.inputTokens += scored.usage?.inputTokens ?? 0;
  tally.usage.outputTokens += scored.usage?.outputTokens ?? 0;
  return { ...row, score: scored.score, reason: scored.reason };
}
