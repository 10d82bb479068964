import { contentHash, inputHash } from '../records/normalize.ts';
import type { RunRecord } from '../records/record.ts';
import { nearest } from './nearest.ts';

/**
 * The recorded answers, found by the model that was asked for and the normalised user text. The same question
 * recorded several times is a queue: each asking takes the next answer, and the last one stays.
 */

/** One recorded answer, as it goes out. */
export interface Answer {
  /** 24 hexadecimal digits that follow from model, prompt and how often it was asked. */
  id: string;
  servedModel: string;
  text: string;
  inputTokens: number | undefined;
  outputTokens: number | undefined;
  latencyMs: number;
  /** Seconds since the epoch at which it was recorded. */
  createdS: number;
}

/** A model that can be asked for. */
export interface RecordedModel {
  id: string;
  /** Seconds since the epoch of its first record. */
  createdS: number;
}

/** What there is to say to a question. */
export type Found =
  | { outcome: 'answer'; answer: Answer }
  | { outcome: 'model_not_found'; models: string[] }
  | { outcome: 'prompt_not_recorded'; recorded: number; nearest: string | undefined };

export interface Answers {
  /** The answer to the next asking of this question. Moves its queue on. */
  take(model: string, userText: string): Found;
  /** Models that can be asked for, in order of their first record. */
  models(): RecordedModel[];
  /** Records that hold an answer, and those that do not (no output, no input or no model). */
  readonly counts: { readonly answers: number; readonly skipped: number };
}

interface Queue {
  prompt: string;
  records: [RunRecord, ...RunRecord[]];
  asked: number;
}

/** Puts records in order to be asked. Records keep their order; `ts` plays no part. */
export function indexAnswers(records: Iterable<RunRecord>): Answers {
  const byModel = new Map<string, Map<string, Queue>>();
  const counts = { answers: 0, skipped: 0 };
  for (const record of records) {
    const model = record.model ?? record.served_model;
    if (model === undefined || record.input === undefined || record.output === undefined) {
      counts.skipped++;
      continue;
    }
    counts.answers++;
    const prompts = byModel.get(model) ?? new Map<string, Queue>();
    byModel.set(model, prompts);
    const key = inputHash(record.input);
    const queue = prompts.get(key);
    if (queue) queue.records.push(record);
    else prompts.set(key, { prompt: record.input, records: [record], asked: 0 });
  }

  return {
    counts,
    models: () =>
      [...byModel].map(([id, prompts]) => ({ id, createdS: createdS(first(prompts).records[0]) })),
    take(model, userText) {
      const prompts = byModel.get(model);
      if (!prompts) return { outcome: 'model_not_found', models: [...byModel.keys()] };
      const key = inputHash(userText);
      const queue = prompts.get(key);
      if (!queue) {
        const recorded = prompts.values().map((q) => q.prompt);
        return {
          outcome: 'prompt_not_recorded',
          recorded: prompts.size,
          nearest: nearest(userText, recorded),
        };
      }
      const nth = queue.asked++;
      const record = queue.records[Math.min(nth, queue.records.length - 1)]!;
      return {
        outcome: 'answer',
        answer: {
          id: contentHash(`${model}\0${key}\0${nth}`).slice(0, 24),
          servedModel: record.served_model ?? model,
          text: record.output!,
          inputTokens: record.input_tokens,
          outputTokens: record.output_tokens,
          latencyMs: record.latency_ms ?? 0,
          createdS: createdS(record),
        },
      };
    },
  };
}

const createdS = (record: RunRecord) => Math.floor(Date.parse(record.ts) / 1000);

const first = (prompts: Map<string, Queue>): Queue => prompts.values().next().value!;
