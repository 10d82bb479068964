import type { Clock } from '../../clock.ts';
import { readVerdict } from '../../gateway/verdict.ts';
import type { LoopDefinition } from '../../registry/loop.ts';
import { runTraceId } from '../../span/ids.ts';
import type { Recording, Statement } from '../recording.ts';
import { type Match, type Matcher, matcher, recordedAnswer } from './match.ts';
import { textOf } from './message-parts.ts';
import type { Normaliser } from './normalise.ts';
import { isMaker, versionOf } from './overrides.ts';
import type { Answered, Divergence, FreshCall, Mode, ModelAnswer, Played } from './ports.ts';
import type { ToolGuard } from './tools.ts';
import { Transcript } from './transcript.ts';
import { otherWay } from './way.ts';

/**
 * A replay that the user's own loop drives: what it asked so far, what it got, and whether it may go on. Where a tool that is
 * not safe would be called the replay stops, and answers nothing any more.
 */
export interface SessionOptions {
  recording: Recording;
  replayId: string;
  mode: Mode;
  strict: boolean;
  normaliser: Normaliser;
  guard: ToolGuard;
  clock: Clock;
  definition?: Pick<LoopDefinition, 'agents'> | undefined;
}

/** Divergences that are kept; a loop that asks on and on after the first says nothing new. */
const DIVERGENCES_MAX = 1_000;

export class Session {
  readonly transcript: Transcript;
  /** Why nothing is answered any more. */
  stopped: string | undefined;
  /** Requests that were no calls of a model, and got no answer. */
  refused = 0;
  private readonly options: SessionOptions;
  private readonly matcher: Matcher;

  constructor(options: SessionOptions) {
    this.options = options;
    this.transcript = new Transcript(options.clock);
    this.matcher = matcher(options.recording, options);
  }

  /**
   * Which recorded call a fresh one is; what it differs in is noted. Where models answer anew, what is asked after the first
   * answer is in other words, and the agent's nearest call is the one in whose place it is.
   */
  meet(call: FreshCall): Match {
    const found = this.matcher.match(call);
    if (found.outcome !== 'unmatched') return found;
    const { nearest, differences } = found;
    const isOwn = nearest?.agent === call.agent && nearest.parentAgent === call.parentAgent;
    if (isOwn && this.options.mode !== 'exact' && !this.options.strict) {
      this.matcher.take(nearest);
      return { outcome: 'near', recorded: nearest, differences };
    }
    const message = nearest
      ? 'The loop asks what the record does not hold; the nearest recorded call differs.'
      : 'The loop asks more than the record holds.';
    this.diverge('call_unmatched', call.agent, message, differences, nearest && this.placeOf(nearest));
    return found;
  }

  /** What the record answers; `undefined` where the answer itself was not recorded. */
  recorded(found: Exclude<Match, { outcome: 'unmatched' }>): ModelAnswer | undefined {
    return recordedAnswer(found.recorded);
  }

  /** Keeps a call with what came of it. `fresh`: its span is the gateway's. */
  keep(call: FreshCall, atMs: number, said: Answered, found: Match, isFresh: boolean): void {
    if (said.outcome === 'unmatched') return;
    const { transcript } = this;
    const recorded = found.outcome === 'unmatched' ? undefined : found.recorded;
    const system = textOf(call.input.filter(({ role }) => role === 'system' || role === 'developer'));
    transcript.call(
      atMs,
      call,
      {
        promptVersion: found.outcome === 'matched' ? recorded!.promptVersion : versionOf(system),
        toolsVersion:
          recorded?.toolDefinitions === call.toolDefinitions
            ? recorded.toolsVersion
            : versionOf(call.toolDefinitions),
      },
      said,
      isFresh,
    );
    if (found.outcome === 'matched') transcript.matched++;
    if (found.outcome === 'near')
      transcript.near.push({
        step: transcript.steps.length - 1,
        recordedStep: this.placeOf(found.recorded),
        differences: found.differences,
      });
    if (said.outcome !== 'answered') return;
    const { output } = said.answer;
    const other = recorded?.output && otherWay(this.options.normaliser, call.agent, recorded.output, output);
    if (other)
      this.diverge(other.kind, call.agent, other.message, other.differences, this.placeOf(recorded!));
    const checker = this.options.definition?.agents.find(({ name }) => name === call.agent);
    const pass =
      checker?.role === 'checker' && checker.verdict && readVerdict(checker.verdict, textOf(output));
    if (typeof pass === 'boolean') transcript.say({ kind: 'verdict', name: call.agent, pass }, call);
  }

  /** Stops the replay if an answer would have a tool called that is not allowed. Gives why. */
  guard(agent: string, tools: readonly string[]): string | undefined {
    const { guard } = this.options;
    const withheld = tools.filter((tool) => !guard.allows(tool));
    if (withheld.length === 0) return undefined;
    return this.stop('tool_withheld', agent, guard.refusal(withheld));
  }

  stop(kind: Divergence['kind'], agent: string, message: string): string {
    this.stopped ??= message;
    this.diverge(kind, agent, message, [], undefined);
    return message;
  }

  diverge(
    kind: Divergence['kind'],
    agent: string,
    message: string,
    differences: readonly string[] = [],
    recordedStep: number | undefined = undefined,
  ): void {
    const { divergences, steps } = this.transcript;
    if (divergences.length >= DIVERGENCES_MAX) return;
    const step = steps.length === 0 ? null : steps.length - 1;
    divergences.push({ kind, step, recordedStep: recordedStep ?? null, agent, message, differences });
  }

  private placeOf(step: Recording['steps'][number]): number {
    return this.options.recording.steps.indexOf(step);
  }

  /** What came of it, when the loop has ended. */
  played(exit: { code: number | null; signal: string | null }): Played {
    const { recording, replayId } = this.options;
    const { transcript } = this;
    const skipped = this.matcher.unmet().length;
    const asked = transcript.steps.length > 0;
    if (!this.stopped && exit.code !== 0)
      this.diverge('loop_failed', '', `The loop ended with ${exit.signal ?? `exit code ${exit.code}`}.`);
    if (!this.stopped && !asked)
      this.diverge(
        'call_not_made',
        '',
        'The loop made no call here. It has to take its base URL from OPENAI_BASE_URL, ANTHROPIC_BASE_URL or LOOPSCOPE_GATEWAY_URL.',
      );
    else if (!this.stopped && skipped > 0 && this.options.mode === 'exact')
      this.diverge('call_not_made', '', `${skipped} recorded calls were not made.`);
    const said = transcript.steps.findLast((step): step is Statement => step.kind === 'verdict');
    const last = transcript.steps.findLast((step) => step.kind === 'call' && isMaker(step) && step.output);
    return {
      outcome: this.stopped === undefined ? 'done' : 'stopped',
      recording: transcript.recording({
        loop: recording.loop,
        run: replayId,
        traceId: runTraceId(recording.loop, replayId),
        replayOf: recording.run,
        itemId: recording.itemId,
        verdict: said === undefined || said.pass === null ? null : { pass: said.pass, checker: said.name },
        goldenScore: null,
        state: this.stopped === undefined && exit.code === 0 ? 'ended' : 'failed',
        checkerVersion: null,
      }),
      matched: transcript.matched,
      near: transcript.near,
      skipped,
      divergences: transcript.divergences,
      fresh: transcript.fresh,
      output: last?.kind === 'call' ? textOf(last.output ?? []) : null,
    };
  }
}
