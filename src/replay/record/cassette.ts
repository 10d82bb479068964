import { z } from 'zod';
import { LIMITS } from '../../span/limits.ts';
import { RECORDING_SPANS_MAX } from '../../store/recordings.ts';
import type { Gap, Message, Part } from '../recording.ts';
import { isWhat, isWhy } from './gaps.ts';

/**
 * A cassette: recordings as a file of JSON lines, to be attached to a ticket and replayed elsewhere.
 *
 *     {"type":"cassette","version":1}
 *     {"type":"message","hash":"…","value":{"role":"user","parts":[…]}}     before the first step that refers to it
 *     {"type":"text","hash":"…","value":"…"}                                tool definitions, the same way
 *     {"type":"run","loop":"…","run":"…",…}                                 what is known of a run as a whole
 *     {"type":"step","kind":"call","input":["hash",…],…}                    its steps, in order, up to the next run
 *
 * A file comes from anywhere. It is read whole before anything is done with it; what does not keep to this form or to the
 * limits below is an error of its line.
 */
export const CASSETTE_VERSION = 1;
export const CASSETTE_LIMITS = {
  fileBytesMax: 512 * 1024 * 1024,
  lineBytesMax: LIMITS.recordLineBytesMax,
  runsMax: 10_000,
  stepsPerRunMax: RECORDING_SPANS_MAX,
  /** References to messages in all histories together. */
  referencesMax: 20_000_000,
  /** Objects and lists in one another. */
  depthMax: 100,
} as const;

const name = z.string().max(LIMITS.nameLengthMax);
const count = z.number().int().min(0).nullable();
const ms = z.number().min(0).max(1e12);
const text = z.string().nullable();

/** What others may have named: checked, and passed on as it is. */
const message = z.custom<Message>(isMessage, 'expected {"role": text, "parts": [{"type": text, …}, …]}');
const parameters = z.custom<Record<string, string | number | boolean>>(
  isParameters,
  'expected texts, numbers and truth values by name',
);

function isMessage(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { role, parts, finish_reason, ...others } = value;
  const isRole = typeof role === 'string' && role.length <= LIMITS.nameLengthMax;
  const isFinish = finish_reason === undefined || typeof finish_reason === 'string';
  return (
    isRole && isFinish && Array.isArray(parts) && parts.every(isPart) && Object.keys(others).length === 0
  );
}

const isPart = (value: unknown): value is Part => isObject(value) && typeof value['type'] === 'string';

function isParameters(value: unknown): boolean {
  if (!isObject(value)) return false;
  return Object.entries(value).every(
    ([key, of]) =>
      key !== '__proto__' &&
      key.length <= LIMITS.nameLengthMax &&
      (typeof of === 'string' || typeof of === 'boolean' || Number.isFinite(of)),
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const step = {
  type: z.literal('step'),
  spanId: z.string().regex(/^(?!0{16})[0-9a-f]{16}$/, 'expected 16 hexadecimal digits'),
  agent: name,
  role: z.enum(['maker', 'checker', 'sub', '']),
  parentAgent: name,
  atMs: ms,
  durationMs: ms.nullable(),
  error: text,
};

const CallLine = z.strictObject({
  ...step,
  kind: z.literal('call'),
  provider: name,
  api: z.enum(['chat_completions', 'responses', 'messages']).nullable(),
  stream: z.boolean(),
  model: z.string(),
  servedModel: text,
  parameters,
  promptVersion: text,
  toolsVersion: text,
  /** Hashes. */
  toolDefinitions: text,
  input: z.array(z.string()).nullable(),
  output: z.array(z.string()).nullable(),
  finishReasons: z.array(z.string()),
  inputTokens: count,
  outputTokens: count,
  costUsd: z.number().min(0).nullable(),
  firstChunkMs: ms.nullable(),
  pieces: z.array(z.tuple([ms, z.number().int().min(0)])).nullable(),
});

const ToolLine = z.strictObject({
  ...step,
  kind: z.literal('tool'),
  tool: z.string(),
  callId: z.string(),
  arguments: text,
  result: text,
});

const StatementLine = z.strictObject({
  ...step,
  kind: z.enum(['verdict', 'effect']),
  name: z.string(),
  pass: z.boolean().nullable(),
});

const RunLine = z.strictObject({
  type: z.literal('run'),
  loop: name.min(1),
  run: name.min(1),
  traceId: z.string().regex(/^(?!0{32})[0-9a-f]{32}$/, 'expected 32 hexadecimal digits'),
  replayOf: name.nullable(),
  startedAt: z.number().min(0).max(9e12),
  durationMs: ms,
  state: z.enum(['running', 'ended', 'failed']),
  versions: z.strictObject({ model: text, servedModel: text, prompt: text, tools: text, checker: text }),
  verdict: z.strictObject({ pass: z.boolean(), checker: z.string() }).nullable(),
  goldenScore: z.number().min(0).max(1).nullable(),
  itemId: text,
  inputTokens: count,
  outputTokens: count,
  costUsd: z.number().min(0).nullable(),
  gaps: z.array(
    z.strictObject({
      what: z.custom<Gap['what']>((value) => typeof value === 'string' && isWhat(value)),
      why: z.custom<Gap['why']>(isWhy),
      steps: z.array(z.number().int().min(0).max(CASSETTE_LIMITS.stepsPerRunMax)),
    }),
  ),
});

export const CassetteLine = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('cassette'), version: z.number().int() }),
  z.strictObject({ type: z.literal('message'), hash: z.string().max(64), value: message }),
  z.strictObject({ type: z.literal('text'), hash: z.string().max(64), value: z.string() }),
  RunLine,
  z.discriminatedUnion('kind', [CallLine, ToolLine, StatementLine]),
]);
export type CassetteLine = z.infer<typeof CassetteLine>;
export type CassetteRun = z.infer<typeof RunLine>;
export type CassetteStep = Extract<CassetteLine, { type: 'step' }>;
