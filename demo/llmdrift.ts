import { readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { SuiteDefinition } from '../evals/suite.ts';
import { LoopscopeError } from '../src/errors.ts';
import { inputHash } from '../src/records/normalize.ts';
import { LoopDefinition } from '../src/registry/loop.ts';
import type { FleetLoop, FleetRun, GoldenItem, Truth } from './fleet.ts';
import { runName } from './northwind/build.ts';
import { type Draw, drawFor } from './northwind/draw.ts';

/**
 * What GPT-4 really answered when asked whether a number is prime, in March and in June 2023 (Chen, Zaharia & Zou,
 * LLMDrift, `PRIME_FULL_EVAL.csv`), in the role of `dependency-bump`. Answers, latency and cost are theirs; the
 * order is drawn by the seed, and each answer is used once.
 */

const BEFORE = 'gpt-4-0314';
const AFTER = 'gpt-4-0613';
const REQUESTED = 'gpt-4';
const RUNS_BEFORE = { from: 260, to: 340 };
/** At an ARL of a million, .84 to .50 takes some 100 runs to be sure of, and 210 where the luck is bad. */
const RUNS_AFTER = 400;
/** The checker that the study's users could have had: an answer came back, and it parses. */
const PARSES = /\[(yes|no)\]/i;

/** Prices of both models at the time, in dollars a token. */
const INPUT_TOKEN_USD = 0.03 / 1000;
const OUTPUT_TOKEN_USD = 0.06 / 1000;

const number = z
  .string()
  .regex(/^\s*\d+(\.\d+)?(e[+-]?\d+)?\s*$/i, 'expected a number')
  .transform(Number);
const Row = z.object({
  model: z.string().min(1),
  query: z.string().min(1),
  ref_answer: z.string().min(1),
  answer: z.string(),
  latency: number,
  cost: number,
  answer_token: number,
});
type Row = z.infer<typeof Row>;

/** The loop, and what is true about it. Throws `bad_input` when the file is not LLMDrift's. */
export function llmdriftLoop(csvPath: string, seed: number): { loop: FleetLoop; truth: Truth } {
  const draw = drawFor(seed, 'llmdrift');
  const rows = readRows(csvPath);
  const change = draw.int(RUNS_BEFORE.from, RUNS_BEFORE.to);
  const drawn = [
    ...sample(rows, BEFORE, change, draw, csvPath),
    ...sample(rows, AFTER, RUNS_AFTER, draw, csvPath),
  ];
  return {
    loop: loopOf(drawn, seed),
    truth: { loop: 'dependency-bump', change_at_run: change, from: BEFORE, to: AFTER },
  };
}

/** A loop whose runs are these answers in this order. */
function loopOf(rows: readonly Row[], seed: number): FleetLoop {
  const golden = new Map<string, GoldenItem>();
  const runs: FleetRun[] = rows.map((row, index) => {
    const id = inputHash(row.query).slice(0, 12);
    golden.set(id, { id, input: row.query, expected: row.ref_answer.toLowerCase() });
    return runOf(row, id, runName(seed, index), index);
  });
  return {
    definition: LoopDefinition.parse({
      loop: 'dependency-bump',
      owner: 'platform',
      description: 'Asks GPT-4 whether numbers are prime.',
      schedule: '0 */2 * * *',
      agents: [
        { name: 'maker', role: 'maker', models: [REQUESTED] },
        { name: 'parses', role: 'checker' },
      ],
      dataset: 'dependency-bump',
      suite: 'dependency-bump-golden',
    }),
    suite: SuiteDefinition.parse({
      suite: 'dependency-bump-golden',
      loop: 'dependency-bump',
      dataset: 'dependency-bump',
      scorer: { regex: PARSES.source, flags: PARSES.flags, group: 1 },
      schedule: '*/2 * * * * *',
      sample: { runs_per_day: 100_000 },
      detector: { arl: 1_000_000 },
    }),
    dataset: 'dependency-bump',
    golden: [...golden.values()],
    matchedBy: 'input',
    runs,
    story:
      'plays what GPT-4 really answered in March and June 2023 (LLMDrift): is this number prime? Its checker asks that the answer parses',
  };
}

function runOf(row: Row, item: string, run: string, index: number): FleetRun {
  const input = row.query;
  return {
    run,
    item,
    calls: [
      {
        agent: 'maker',
        role: 'maker',
        protocol: 'openai',
        model: REQUESTED,
        stream: index % 2 === 0,
        input,
        record: {
          loop: 'dependency-bump',
          run,
          ts: new Date(Date.UTC(2023, 4, 20) + index * 2 * 3_600_000).toISOString(),
          agent: 'maker',
          model: REQUESTED,
          served_model: servedModel(row),
          input,
          output: row.answer,
          item,
          input_tokens: inputTokens(row),
          output_tokens: row.answer_token,
          cost_usd: row.cost,
          latency_ms: Math.round(row.latency * 1000),
        },
      },
    ],
    verdict: { pass: PARSES.test(row.answer), checker: 'parses' },
    effects: [],
  };
}

/** The file has what a call cost and how long its answer was; the rest of the cost is the question. */
const inputTokens = (row: Row) =>
  Math.max(0, Math.round((row.cost - row.answer_token * OUTPUT_TOKEN_USD) / INPUT_TOKEN_USD));

/** `openaichat/gpt-4-0314` in the file. */
const servedModel = (row: Row) => row.model.replace(/^.*\//, '');

function sample(rows: readonly Row[], model: string, count: number, draw: Draw, path: string): Row[] {
  const candidates = rows.filter((row) => servedModel(row) === model);
  if (candidates.length < count)
    throw new LoopscopeError(
      'bad_input',
      `${path}: expected at least ${count} answers of ${model}, found ${candidates.length}. ${WHICH_FILE}`,
    );
  return draw.sample(candidates, count);
}

const WHICH_FILE = 'This plays PRIME_FULL_EVAL.csv of LLMDrift (github.com/lchen001/LLMDrift).';

function readRows(path: string): Row[] {
  const bad = (what: string) => new LoopscopeError('bad_input', `${path}: ${what} ${WHICH_FILE}`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw bad(`cannot be read: ${(error as Error).message}.`);
  }
  let records: Record<string, string>[];
  try {
    records = parse(text, { columns: true, bom: true, skip_empty_lines: true });
  } catch (error) {
    throw bad(`is no CSV with a header: ${(error as Error).message}.`);
  }
  const missing = Object.keys(Row.shape).filter((column) => !Object.hasOwn(records[0] ?? {}, column));
  if (missing.length > 0) throw bad(`has no column ${missing.join(', ')}.`);
  return records.map((record, i) => {
    const row = Row.safeParse(record);
    if (row.success) return row.data;
    const { path: field, message } = row.error.issues[0]!;
    throw bad(
      `record ${i + 1}, ${field.join('.')}: ${message}, found ${JSON.stringify(record[String(field[0])])}.`,
    );
  });
}
