import fc from 'fast-check';
import { Gaps } from '../../src/replay/record/gaps.ts';
import type {
  Gap,
  Message,
  ModelCall,
  Recording,
  Statement,
  Step,
  ToolCall,
} from '../../src/replay/recording.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';

/**
 * Recordings of all kinds: any mix of agents, calls, tools and statements, at the same time or not, with content or without
 * it. What they say of the run as a whole follows from their steps, as it does with a recording of a real run.
 */
export const randomRecording = (loop: string, run: string): fc.Arbitrary<Recording> =>
  fc
    .record({
      state: fc.constantFrom<Recording['state']>('ended', 'failed', 'running'),
      startedAt: fc.integer({ min: 0, max: 3_600_000_000 }).map((us) => (DAY_MS * 1000 + us) / 1000),
      goldenScore: fc.option(fc.integer({ min: 0, max: 8 }).map((n) => n / 8)),
      itemId: fc.option(name),
      checkerVersion: fc.option(name),
      later: duration,
      steps: fc.array(fc.tuple(fc.oneof(call, tool, statement), fc.integer({ min: 0, max: 3 })), {
        minLength: 1,
        maxLength: 12,
      }),
      lacks: fc.array(
        fc.constantFrom<Gap['why'] | undefined>(undefined, 'redacted', 'expired', 'not_captured'),
        {
          minLength: 12,
          maxLength: 12,
        },
      ),
    })
    .map(({ steps: drawn, ...of }) => {
      const traceId = runTraceId(loop, run);
      let us = 0;
      const steps = drawn.map(([step, gap], i): Step => {
        us += i === 0 ? 0 : gap * 700;
        return { ...step, spanId: recordSpanId(traceId, 'step', String(i)), atMs: us / 1000 };
      });
      return { ...wholeOf(steps, of), loop, run, traceId, steps, gaps: gapsOf(steps, of.lacks) };
    });

const DAY_MS = Date.UTC(2025, 2, 3);

/** Words, signs, other scripts, and what would mean something in JSON or SQL. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.constantFrom(
    '',
    "it's",
    '{"a":[{"b":1},{"c":2}]}',
    '[]',
    '\\n\n\t\0',
    'null',
    '17',
    '"quoted"',
    '日本 🎈',
  ),
);
const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,11}$/);
const duration = fc.integer({ min: 0, max: 5_000_000 }).map((us) => us / 1000);
const tokens = fc.option(fc.integer({ min: 0, max: 100_000 }));

const agent = fc.constantFrom<Pick<Step, 'agent' | 'role' | 'parentAgent'>>(
  { agent: 'maker', role: 'maker', parentAgent: '' },
  { agent: 'searcher', role: 'sub', parentAgent: 'maker' },
  { agent: 'reviewer', role: 'checker', parentAgent: '' },
  { agent: '', role: '', parentAgent: '' },
);

const base = {
  spanId: fc.constant(''),
  atMs: fc.constant(0),
  error: fc.option(fc.constantFrom('timeout', '429')),
};

const part = fc.oneof(
  fc.record({ type: fc.constant('text'), content: text }),
  fc.record({
    type: fc.constant('tool_call'),
    id: name,
    name,
    arguments: fc.oneof(text, fc.dictionary(name, text)),
  }),
  fc.record({ type: fc.constant('tool_call_response'), id: name, response: fc.oneof(text, fc.array(text)) }),
  fc.record({ type: fc.constant('image'), data: fc.dictionary(name, fc.jsonValue({ maxDepth: 2 })) }),
);
const message: fc.Arbitrary<Message> = fc
  .tuple(
    fc.constantFrom('system', 'user', 'assistant', 'tool'),
    fc.array(part, { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([role, parts, ends]) => ({ role, parts, ...(ends && { finish_reason: 'stop' }) }))
  // As JSON has it: -0 is 0 there.
  .map((drawn) => JSON.parse(JSON.stringify(drawn)) as Message);

const call: fc.Arbitrary<ModelCall> = fc
  .tuple(
    agent,
    fc.record({
      ...base,
      kind: fc.constant('call' as const),
      durationMs: fc.option(duration),
      provider: fc.constantFrom('', 'openai', 'anthropic'),
      api: fc.constantFrom(null, 'chat_completions' as const, 'responses' as const, 'messages' as const),
      stream: fc.boolean(),
      model: fc.constantFrom('', 'gpt-4o', 'claude-x'),
      servedModel: fc.option(name),
      parameters: fc.record(
        {
          temperature: fc.constantFrom(0, 0.7, 1e-7),
          max_tokens: fc.integer({ min: 1, max: 9999 }),
          seed: fc.integer(),
          tool_choice: fc.constantFrom('auto', 'lookup'),
          response_format: fc.constant('json_object'),
          stop_sequences: fc.constant('["END"]'),
          parallel: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
      promptVersion: fc.option(name),
      toolsVersion: fc.option(name),
      toolDefinitions: fc.option(
        fc
          .array(fc.dictionary(name, text), { minLength: 1, maxLength: 3 })
          .map((tools) => JSON.stringify(tools)),
      ),
      input: fc.option(fc.array(message, { maxLength: 5 })),
      output: fc.option(fc.array(message, { maxLength: 2 })),
      finishReasons: fc.array(name, { maxLength: 2 }),
      inputTokens: tokens,
      outputTokens: tokens,
      costUsd: fc.option(fc.integer({ min: 0, max: 1024 }).map((n) => n / 1024)),
      firstChunkMs: fc.option(duration),
      pieces: fc.option(fc.array(fc.tuple(fc.nat(5000), fc.nat(99)), { maxLength: 4 })),
    }),
  )
  .map(([who, rest]) => ({ ...rest, ...who, parameters: { ...rest.parameters } }) as ModelCall);

const tool: fc.Arbitrary<ToolCall> = fc
  .tuple(
    agent,
    fc.record({
      ...base,
      kind: fc.constant('tool' as const),
      durationMs: fc.option(duration),
      tool: name,
      callId: fc.oneof(fc.constant(''), name),
      arguments: fc.option(text),
      result: fc.option(text),
    }),
  )
  .map(([who, rest]) => ({ ...rest, ...who }));

const statement: fc.Arbitrary<Statement> = fc
  .tuple(
    agent,
    fc.record({
      ...base,
      kind: fc.constantFrom('verdict' as const, 'effect' as const),
      durationMs: fc.option(duration),
      name,
      pass: fc.option(fc.boolean()),
    }),
  )
  .map(([who, rest]) => ({ ...rest, ...who }));

interface Whole {
  state: Recording['state'];
  startedAt: number;
  goldenScore: number | null;
  itemId: string | null;
  checkerVersion: string | null;
  later: number;
}

/** A run that has not ended is known by its steps alone. */
function wholeOf(
  steps: readonly Step[],
  of: Whole,
): Omit<Recording, 'loop' | 'run' | 'traceId' | 'steps' | 'gaps'> {
  const running = of.state === 'running';
  const calls = steps.filter((step) => step.kind === 'call');
  const makers = calls.filter(({ role }) => role === 'maker');
  const judged = steps.findLast((step) => step.kind === 'verdict' && step.pass !== null) as
    | Statement
    | undefined;
  const us = Math.max(...steps.map(({ atMs, durationMs }) => Math.round((atMs + (durationMs ?? 0)) * 1000)));
  const sum = (figures: (number | null)[]) =>
    figures.reduce((total, figure) => (figure === null ? total : (total ?? 0) + figure), null);
  return {
    replayOf: null,
    startedAt: of.startedAt,
    durationMs: (us + (running ? 0 : Math.round(of.later * 1000))) / 1000,
    state: of.state,
    versions: {
      model: makers.findLast(({ model }) => model !== '')?.model ?? null,
      servedModel: makers.findLast(({ servedModel }) => servedModel !== null)?.servedModel ?? null,
      prompt: makers.findLast(({ promptVersion }) => promptVersion !== null)?.promptVersion ?? null,
      tools: makers.findLast(({ toolsVersion }) => toolsVersion !== null)?.toolsVersion ?? null,
      checker: judged ? of.checkerVersion : null,
    },
    verdict: judged ? { pass: judged.pass!, checker: judged.name } : null,
    goldenScore: running ? null : of.goldenScore,
    itemId: running ? null : of.itemId,
    inputTokens: sum(calls.map(({ inputTokens }) => inputTokens)),
    outputTokens: sum(calls.map(({ outputTokens }) => outputTokens)),
    costUsd: sum(calls.map(({ costUsd }) => costUsd)),
  };
}

/** What is there can only be redacted; what is not there may be gone for any reason. */
function gapsOf(steps: readonly Step[], lacks: readonly (Gap['why'] | undefined)[]): Gap[] {
  const gaps = new Gaps();
  steps.forEach((step, i) => {
    const why = lacks[i];
    const add = (what: Gap['what'], value: unknown) => {
      if (why !== undefined && (value === null) === (why !== 'redacted')) gaps.add(what, why, step);
    };
    if (step.kind === 'call') {
      add('input', step.input);
      add('output', step.output);
      add('tool_definitions', step.toolDefinitions);
    } else if (step.kind === 'tool') {
      add('tool_arguments', step.arguments);
      add('tool_result', step.result);
    }
  });
  return gaps.list(steps);
}
