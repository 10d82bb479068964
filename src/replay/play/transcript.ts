import type { Clock } from '../../clock.ts';
import type { ModelCall, Recording, Step, ToolCall } from '../recording.ts';
import type { Answered, Divergence, FreshCall, Played, ToolUse } from './ports.ts';

/** What a replay has come to, as the recording that it becomes. */
export class Transcript {
  readonly steps: Step[] = [];
  readonly divergences: Divergence[] = [];
  readonly near: Played['near'][number][] = [];
  /** Steps whose spans the gateway has written. */
  readonly fresh = new Set<number>();
  matched = 0;
  private readonly clock: Clock;
  private readonly startedAt: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.startedAt = clock.now();
  }

  /** When a step begins: milliseconds since the replay did. */
  begin(): number {
    return this.clock.now() - this.startedAt;
  }

  call(
    atMs: number,
    call: FreshCall,
    versions: Pick<ModelCall, 'promptVersion' | 'toolsVersion'>,
    said: Exclude<Answered, { outcome: 'unmatched' }>,
    isFresh: boolean,
  ): void {
    if (isFresh) this.fresh.add(this.steps.length);
    const answer = said.outcome === 'answered' ? said.answer : undefined;
    this.steps.push({
      kind: 'call',
      ...call,
      ...versions,
      ...this.times(atMs),
      error: said.outcome === 'failed' ? said.error : null,
      servedModel: answer?.servedModel ?? null,
      output: answer?.output ?? null,
      finishReasons: answer?.finishReasons ?? [],
      inputTokens: answer?.inputTokens ?? null,
      outputTokens: answer?.outputTokens ?? null,
      costUsd: answer?.costUsd ?? null,
      firstChunkMs: null,
      pieces: null,
    });
  }

  tool(
    atMs: number,
    use: ToolUse,
    { agent, role, parentAgent }: Pick<Step, 'agent' | 'role' | 'parentAgent'>,
    result: string | null,
  ): void {
    this.steps.push({
      kind: 'tool',
      agent,
      role,
      parentAgent,
      ...this.times(atMs),
      error: null,
      tool: use.tool,
      callId: use.callId,
      arguments: use.arguments,
      result,
    });
  }

  /** A step that is repeated as it was recorded. */
  copy(step: Exclude<Step, ModelCall>): void {
    this.steps.push({ ...step, ...this.times(this.begin()) } as ToolCall);
  }

  /** Something that was said of the replay. */
  say(
    statement: Pick<Step & { kind: 'verdict' | 'effect' }, 'kind' | 'name' | 'pass'>,
    by: Pick<Step, 'agent' | 'role' | 'parentAgent'> = { agent: '', role: '', parentAgent: '' },
  ): void {
    const { agent, role, parentAgent } = by;
    this.steps.push({
      ...statement,
      agent,
      role,
      parentAgent,
      error: null,
      ...this.times(this.begin()),
    });
  }

  private times(atMs: number): Pick<Step, 'spanId' | 'atMs' | 'durationMs'> {
    return { spanId: this.clock.randomHex(8), atMs, durationMs: this.begin() - atMs };
  }

  recording(
    facts: Pick<
      Recording,
      'loop' | 'run' | 'traceId' | 'replayOf' | 'itemId' | 'verdict' | 'goldenScore' | 'state'
    > & { checkerVersion: string | null },
  ): Recording {
    const { checkerVersion, ...rest } = facts;
    const calls = this.steps.filter((step) => step.kind === 'call');
    const maker = calls.findLast(({ role }) => role === 'maker' || role === '');
    const checker = calls.findLast(({ role }) => role === 'checker');
    return {
      ...rest,
      startedAt: this.startedAt,
      durationMs: this.begin(),
      versions: {
        model: maker?.model ?? null,
        servedModel: maker?.servedModel ?? null,
        prompt: maker?.promptVersion ?? null,
        tools: maker?.toolsVersion ?? null,
        checker: checker?.promptVersion ?? checkerVersion,
      },
      inputTokens: total(calls.map((call) => call.inputTokens)),
      outputTokens: total(calls.map((call) => call.outputTokens)),
      costUsd: total(calls.map((call) => call.costUsd)),
      steps: this.steps,
      gaps: [],
    };
  }
}

/** The sum of what is known; `null` where nothing is. */
function total(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}
