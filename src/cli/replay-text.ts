import type { Overrides } from '../replay/play/overrides.ts';
import type { Mode, Played } from '../replay/play/ports.ts';
import { overridesDocument } from '../replay/play/publish.ts';
import type { ToolGuard } from '../replay/play/tools.ts';
import { usedTools } from '../replay/play/tools.ts';
import type { Recording, Step } from '../replay/recording.ts';
import { count, decimal, duration, percent, usd } from './format.ts';
import type { Output } from './output.ts';

/** What `replay` says before it begins, and when it is over. */
export interface Plan {
  recording: Recording;
  mode: Mode;
  drivenBy: 'record' | 'loop';
  overrides: Overrides;
  guard: ToolGuard;
  times: number;
}

const DOES: Record<Mode, string> = {
  exact: 'every answer and every result comes from the record; nothing is called',
  model: 'models are called anew, tools are not',
  live: 'models and tools are called anew',
};
const DOES_WITH_LOOP: Record<Mode, string> = {
  exact: 'your loop runs against the record; no model is called, safe tools are your loop’s to call',
  model: 'your loop runs with models called anew; safe tools are your loop’s to call',
  live: 'your loop runs with models called anew; safe tools are your loop’s to call',
};

/** What can be done and what cannot, before anything is. */
export function tellPlan(out: Output, { recording, mode, drivenBy, guard, times }: Plan): void {
  const { loop, run, steps, gaps } = recording;
  const calls = steps.filter(({ kind }) => kind === 'call').length;
  const tools = steps.filter(({ kind }) => kind === 'tool').length;
  const does = (drivenBy === 'loop' ? DOES_WITH_LOOP : DOES)[mode];
  out.note(
    `${loop} ${run}: ${count(calls)} calls of models, ${count(tools)} of tools, took ${duration(recording.durationMs)}`,
  );
  out.note(`mode ${mode}: ${does}${times > 1 ? `; ${count(times)} times` : ''}`);
  for (const { message } of gaps.slice(0, GAPS_TOLD_MAX)) out.note(`  not on record: ${message}`);
  if (gaps.length > GAPS_TOLD_MAX) out.note(`  and ${count(gaps.length - GAPS_TOLD_MAX)} more that is not`);
  if (drivenBy === 'record' && mode !== 'exact' && steps.some(hasSchema))
    out.note('  not on record: the JSON schema that answers were asked for by; it is not asked for again');
  const unsafe = usedTools(recording).filter((tool) => !guard.allows(tool));
  if (drivenBy === 'loop' && unsafe.length > 0)
    out.note(
      `  the replay ends before your loop can call ${unsafe.map((t) => JSON.stringify(t)).join(', ')}: not marked safe`,
    );
}

const hasSchema = (step: Step): boolean =>
  step.kind === 'call' && step.parameters['response_format'] === 'json_schema';

const GAPS_TOLD_MAX = 5;
const DIVERGENCES_TOLD_MAX = 5;

/** What came of one replay. */
export function tellPlayed(
  out: Output,
  { recording }: Plan,
  played: Played,
  scoreError: string | undefined,
): void {
  const { recording: replay, near, divergences, matched, skipped, outcome } = played;
  const { paint } = out;
  const calls = replay.steps.filter(({ kind }) => kind === 'call').length;
  const style = divergences.length === 0 ? 'green' : 'red';
  const [first] = divergences;
  const verdict =
    first === undefined
      ? outcome === 'until'
        ? 'followed the record to the step asked for'
        : 'followed the record to its end'
      : `diverged${first.recordedStep === null ? '' : ` at step ${first.recordedStep + 1}`}${outcome === 'stopped' ? ', and stopped there' : ''}`;
  out.line(`${paint('bold', replay.run)}  ${paint(style, verdict)}`);
  out.line(
    `  calls ${count(calls)}: ${count(matched)} as recorded, ${count(near.length)} nearly, ${count(calls - matched - near.length)} otherwise; ${count(skipped)} recorded were not made`,
  );
  for (const { kind, agent, message, differences } of divergences.slice(0, DIVERGENCES_TOLD_MAX)) {
    out.line(`  ${paint('red', kind)} ${agent === '' ? '' : `${agent}: `}${message}`);
    for (const difference of differences) out.line(`    ${difference}`);
  }
  if (divergences.length > DIVERGENCES_TOLD_MAX)
    out.line(`  and ${count(divergences.length - DIVERGENCES_TOLD_MAX)} more`);
  for (const { recordedStep, differences } of near.slice(0, DIVERGENCES_TOLD_MAX)) {
    out.line(`  ${paint('yellow', 'near')} step ${recordedStep + 1}`);
    for (const difference of differences) out.line(`    ${difference}`);
  }
  const pass = (recording: Recording) =>
    recording.verdict === null ? '–' : recording.verdict.pass ? 'passes' : 'fails';
  out.line(`  verdict  ${pass(recording)} → ${pass(replay)}`);
  const golden = scoreError === undefined ? decimal(replay.goldenScore) : `no score (${scoreError})`;
  out.line(`  golden   ${decimal(recording.goldenScore)} → ${golden}`);
  out.line(`  cost     ${usd(recording.costUsd)} → ${usd(replay.costUsd)}`);
  out.line(`  took     ${duration(recording.durationMs)} → ${duration(replay.durationMs)}`);
}

/** What several replays came to together. */
export function tellTogether(out: Output, all: readonly Played[]): void {
  const diverged = all.filter(({ divergences }) => divergences.length > 0).length;
  const passes = all.filter(({ recording }) => recording.verdict?.pass === true).length;
  const judged = all.filter(({ recording }) => recording.verdict !== null).length;
  const scores = all.flatMap(({ recording: { goldenScore } }) => goldenScore ?? []);
  const mean = scores.length === 0 ? null : scores.reduce((a, b) => a + b, 0) / scores.length;
  out.line();
  out.line(
    `${count(all.length)} replays: ${count(diverged)} diverged; verdict passes ${judged === 0 ? '–' : percent(passes / judged)}; golden ${decimal(mean)} (n=${scores.length})`,
  );
}

/** One replay as a document. */
export function playedDocument(
  { recording, mode, drivenBy, overrides }: Plan,
  played: Played,
  scoreError: string | undefined,
) {
  const { recording: replay } = played;
  const between = <T>(of: (r: Recording) => T) => ({ before: of(recording), after: of(replay) });
  return {
    replay: replay.run,
    trace: replay.traceId,
    loop: recording.loop,
    run: recording.run,
    mode,
    driven_by: drivenBy,
    overrides: overridesDocument(overrides),
    outcome: played.outcome,
    calls: replay.steps.filter(({ kind }) => kind === 'call').length,
    tools: replay.steps.filter(({ kind }) => kind === 'tool').length,
    matched: played.matched,
    near: played.near.map(({ step, recordedStep, differences }) => ({
      step: step + 1,
      recorded_step: recordedStep + 1,
      differences,
    })),
    skipped: played.skipped,
    divergences: played.divergences.map(({ kind, step, recordedStep, agent, message, differences }) => ({
      kind,
      step: step === null ? null : step + 1,
      recorded_step: recordedStep === null ? null : recordedStep + 1,
      agent,
      message,
      differences,
    })),
    output: played.output,
    verdict: between(({ verdict }) => verdict?.pass ?? null),
    golden: { ...between(({ goldenScore }) => goldenScore), error: scoreError ?? null },
    cost_usd: between(({ costUsd }) => costUsd),
    input_tokens: between(({ inputTokens }) => inputTokens),
    output_tokens: between(({ outputTokens }) => outputTokens),
    duration_ms: between(({ durationMs }) => durationMs),
    not_on_record: recording.gaps.map(({ message }) => message),
  };
}
