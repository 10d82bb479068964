import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { A } from '../span/attributes.ts';
import { recordSpanId, runSpanId } from '../span/ids.ts';
import { LIMITS } from '../span/limits.ts';
import { type IdentityOptions, identify } from './identity.ts';
import type { Recorder } from './record/recorder.ts';
import { Attributes, type AttributeValue, type SpanDraft } from './record/span-draft.ts';
import type { StatementRoute } from './route.ts';
import { type OpenRun, type Runs, runAttributes } from './runs.ts';

/**
 * What a loop says of its own run: a checker's verdict, effects in the world, the end.
 * A statement's span id follows from what it says, and saying it again to this gateway records nothing more.
 */

const label = z
  .string()
  .min(1)
  .max(LIMITS.nameLengthMax)
  .regex(/^[^\p{Cc}]+$/u, 'expected text without control characters');

const Verdict = z.strictObject({
  pass: z.boolean(),
  checker: label.default('checker'),
  version: label.optional(),
  explanation: z.string().max(10_000).optional(),
});
type Verdict = z.infer<typeof Verdict>;

const EFFECTS_MAX = 1_000;
const Effect = z.strictObject({ name: label, accepted: z.boolean().optional() });
const Effects = z.union([
  z.strictObject({ effects: z.array(Effect).min(1).max(EFFECTS_MAX) }),
  z.strictObject({ effect: label, accepted: z.boolean().optional() }),
]);
type Effect = z.infer<typeof Effect>;

const End = z.strictObject({ outcome: z.enum(['ok', 'error']).optional() });

const EXPECTED = {
  verdict: '{"pass": true, "checker"?: "name", "version"?: "v1", "explanation"?: "why"}',
  effects: '{"effects": [{"name": "pr_opened", "accepted"?: true}]} or {"effect": "pr_opened"}',
  end: '{"outcome"?: "ok" | "error"} or nothing',
};

/** Effects, and checkers with a verdict, that a run is remembered to have. */
const SAID_MAX = 10_000;

export interface StatementContext {
  identity: IdentityOptions;
  settings: { strict: boolean };
  runs: Runs;
  recorder: Recorder;
  clock: Clock;
}

/** Records a statement. Gives the run and its trace; throws `bad_input` and what `identify` throws. */
export async function handleStatement(
  { identity, settings, runs, recorder, clock }: StatementContext,
  { kind, loop, run: runId }: StatementRoute,
  { headers, body }: { headers: IncomingHttpHeaders; body: Buffer | undefined },
): Promise<{ run: string; trace: string }> {
  // No page in a browser has a say here, and only a browser sends Origin.
  if (headers.origin !== undefined)
    throw new LoopscopeError('bad_input', 'Statements are taken from programs, not from web pages (Origin).');
  const caller = await identify(headers, { loop }, identity, settings.strict);
  const registered = caller.definition !== undefined;
  const name = { loop, runId, registered, traceId: caller.remote?.traceId };
  const keepsContent = (caller.definition?.capture ?? 'full') === 'full';
  const atNs = clock.nowNs();

  if (kind === 'end') {
    const { outcome } = parse(kind, End, body?.length ? body : Buffer.from('{}'));
    const run = runs.end(name, outcome, atNs);
    return { run: runId, trace: run.traceId };
  }
  const statements =
    kind === 'verdict'
      ? [verdictSpan(parse(kind, Verdict, body), keepsContent)]
      : effectSpans(parse(kind, Effects, body));
  const run = runs.touch(name, atNs);
  const spans: SpanDraft[] = [];
  for (const statement of statements) {
    const spanId = newSpanId(run, statement);
    if (spanId === undefined) continue;
    spans.push({
      ...statement,
      traceId: run.traceId,
      spanId,
      parentSpanId: runSpanId(run.traceId),
      kind: 'Internal',
      startNs: atNs,
      endNs: atNs,
      attributes: Attributes.of({ ...runAttributes(run), ...statement.attributes }),
    });
  }
  if (spans.length > 0 && !(await recorder.record(spans)))
    throw new LoopscopeError('overloaded', 'What was said could not be written down. Say it again later.');
  return { run: runId, trace: run.traceId };
}

type Statement = Pick<SpanDraft, 'name' | 'event'> & {
  attributes: Record<string, AttributeValue | undefined>;
  what: [kind: 'verdict' | 'effect', name: string, ...string[]];
};

function verdictSpan({ pass, checker, version, explanation }: Verdict, keepsContent: boolean): Statement {
  const attributes = {
    [A.record]: 'verdict',
    [A.verdictPass]: pass,
    [A.checkerName]: checker,
    [A.checkerVersion]: version,
  };
  const event = {
    name: 'gen_ai.evaluation.result',
    attributes: Attributes.of({
      [A.evaluationName]: checker,
      [A.evaluationLabel]: pass ? 'pass' : 'fail',
      [A.evaluationScore]: pass ? 1 : 0,
      [A.evaluationExplanation]: keepsContent ? explanation : undefined,
    }),
  };
  const what: Statement['what'] = ['verdict', checker, version ?? '', String(pass), explanation ?? ''];
  return { what, name: `verdict ${checker}`, attributes, event };
}

function effectSpans(body: z.infer<typeof Effects>): Statement[] {
  const effects: Effect[] =
    'effects' in body ? body.effects : [{ name: body.effect, accepted: body.accepted }];
  const before = new Map<string, number>();
  return effects.map(({ name, accepted }) => {
    // The same effect twice in one statement is two effects; the same statement twice is one.
    const key = JSON.stringify([name, accepted]);
    const nth = before.get(key) ?? 0;
    before.set(key, nth + 1);
    return {
      what: ['effect', name, String(accepted ?? ''), String(nth)],
      name: `effect ${name}`,
      attributes: { [A.record]: 'effect', [A.effect]: name, [A.effectAccepted]: accepted },
    };
  });
}

/**
 * The span id of a statement, `undefined` when it was said before. Effects add up, so each counts once. Of a
 * checker's verdicts the last one counts, so only a repeat of that is no news: pass, fail, pass is three.
 */
function newSpanId(run: OpenRun, { what }: Statement): string | undefined {
  const { traceId, effects, verdicts } = run;
  const [kind, name] = what;
  if (kind === 'effect') {
    const spanId = recordSpanId(traceId, ...what);
    if (effects.has(spanId)) return undefined;
    if (effects.size < SAID_MAX) effects.add(spanId);
    return spanId;
  }
  const said = JSON.stringify(what);
  const last = verdicts.get(name);
  if (last?.said === said) return undefined;
  const nth = last ? last.nth + 1 : 0;
  if (last || verdicts.size < SAID_MAX) verdicts.set(name, { said, nth });
  return recordSpanId(traceId, ...what, String(nth));
}

function parse<S extends z.ZodType>(
  kind: keyof typeof EXPECTED,
  schema: S,
  body: Buffer | undefined,
): z.infer<S> {
  const refused = (why: string) =>
    new LoopscopeError('bad_input', `${kind}: expected ${EXPECTED[kind]}; ${why}.`);
  let value: unknown;
  try {
    value = JSON.parse(body?.toString() ?? '');
  } catch {
    throw refused(body?.length ? 'got something that is not JSON' : 'got nothing');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw refused(`${issue.path.join('.') || 'the body'}: ${issue.message}`);
}
