import type { Clock } from '../../clock.ts';
import { readVerdict } from '../../gateway/verdict.ts';
import type { LoopDefinition, VerdictRule } from '../../registry/loop.ts';
import { runTraceId } from '../../span/ids.ts';
import type { Message, ModelCall, Recording, Statement, Step } from '../recording.ts';
import { type Carry, carry } from './carry.ts';
import { isToolResult, textOf, toolUses } from './message-parts.ts';
import { type Normaliser, normaliser, type Rule } from './normalise.ts';
import { callWith, isMaker, isOverridden, type Overrides, openingWith, versionsOf } from './overrides.ts';
import { requirePlayable } from './playable.ts';
import type { Divergence, Mode, ModelPort, Played, ToolPort, ToolUse } from './ports.ts';
import { type Place, placesOf } from './threads.ts';
import { recordedText, type ToolResults, toolResults } from './tool-results.ts';
import { Transcript } from './transcript.ts';
import { otherWay } from './way.ts';

/**
 * Plays a recorded conversation again. Each agent begins with its recorded opening, is asked for its next answer, gets what
 * the tools gave, and the turns that came from outside, until all that was recorded has been played:
 *
 *     opening → model → [tools → model …] → the user's next turn → model → …
 *
 * - It does nothing itself: models and tools are ports. A tool's result comes from the record unless `tools` is given.
 * - Calls of several agents are played in the order in which they were recorded.
 * - A fresh answer may take another way. Strict, or with everything from the record, that ends the replay; else it goes on
 *   for as long as the record knows what a tool gave for what is asked, and says where it first diverged.
 * - What it makes is a recording of its own.
 */
export interface PlayOptions {
  mode: Mode;
  replayId: string;
  clock: Clock;
  model: ModelPort;
  /** Carries tools out, in `live`; without it their results come from the record. */
  tools?: ToolPort | undefined;
  overrides?: Overrides;
  strict?: boolean;
  rules?: readonly Rule[];
  /** Says how a checker's answer is read. */
  definition?: Pick<LoopDefinition, 'agents'> | undefined;
  /** Plays so many recorded steps only. */
  until?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told before each recorded step: how many are done, of how many. */
  onStep?: (done: number, of: number) => void;
}

/** Calls that a conversation may make beyond those recorded before it counts as going in circles. */
const EXTRA_CALLS_MAX = 20;

/** Plays it. Throws `recording_incomplete` where what it needs was not recorded, and the signal's reason. */
export async function playRecording(recording: Recording, options: PlayOptions): Promise<Played> {
  requirePlayable(recording, options.mode);
  const drive = new Drive(recording, options);
  return await drive.play();
}

/** An agent's conversation as the replay has it. */
interface Conversation {
  history: Message[];
  /** Tools that its last answer asks for. */
  pending: ToolUse[];
  extra: number;
}

class Drive {
  private readonly recording: Recording;
  private readonly options: PlayOptions;
  private readonly n: Normaliser;
  private readonly places: ReadonlyMap<number, Place>;
  private readonly results: ToolResults;
  private readonly carry: Carry = carry();
  private readonly transcript: Transcript;
  /** By the recorded call that each has come to. */
  private readonly conversations = new Map<number, Conversation>();
  private isStopped = false;
  private skipped = 0;
  /** Whether nothing is other than it was so far. */
  private isSame: boolean;

  constructor(recording: Recording, options: PlayOptions) {
    this.recording = recording;
    this.options = options;
    this.n = normaliser(options.rules);
    this.places = placesOf(recording, this.n);
    this.isSame = !isOverridden(options.overrides ?? {});
    this.results = toolResults(recording, this.places, this.n, options.strict === true);
    this.transcript = new Transcript(options.clock);
  }

  async play(): Promise<Played> {
    const { steps } = this.recording;
    const { until = steps.length, signal, onStep } = this.options;
    const end = Math.min(until, steps.length);
    for (let i = 0; i < end && !this.isStopped; i++) {
      signal?.throwIfAborted();
      onStep?.(i, end);
      const step = steps[i]!;
      if (step.kind === 'call') await this.playCall(i, step);
      else if (step.kind === 'tool' ? this.results.ofCode.has(i) : this.isRepeated(step))
        this.transcript.copy(step);
    }
    // A run may end with a tool that nobody looked at.
    for (const [i, conversation] of this.conversations)
      if (!this.isStopped && end === steps.length && !this.places.get(i)!.isContinued)
        await this.resolve(conversation, i);
    return this.played(this.isStopped ? 'stopped' : end < steps.length ? 'until' : 'done');
  }

  /** What was said of the run is said again while nothing is other than it was. */
  private isRepeated(step: Step): boolean {
    if (!this.isSame || this.options.mode === 'live') return false;
    // A verdict that is read out of the checker's answer is read again.
    if (step.kind === 'verdict') return this.ruleOf(step.agent) === undefined;
    return step.kind === 'effect' && this.options.mode === 'exact';
  }

  private async playCall(i: number, step: ModelCall): Promise<void> {
    const place = this.places.get(i)!;
    const conversation = place.continues === null ? undefined : this.conversations.get(place.continues);
    if (place.continues === null || !conversation) {
      const input = openingWith(this.options.overrides ?? {}, step, this.carry.messages(step.input ?? []));
      return this.ask({ history: input, pending: [], extra: 0 }, i, step);
    }
    this.conversations.delete(place.continues);
    const turns = this.carry.messages(turnsOf(place.added));
    const hadResults = place.added.some((message) => message.parts.some(isToolResult));
    if (conversation.pending.length === 0 && hadResults && turns.length === 0) {
      // It has answered already what this call was still looking for.
      this.skipped++;
      this.conversations.set(i, conversation);
      return;
    }
    if (hadResults) await this.resolve(conversation, i);
    else await this.finish(conversation, place.continues);
    if (this.isStopped) return;
    conversation.history.push(...turns);
    await this.ask(conversation, i, step);
  }

  private async ask(conversation: Conversation, i: number, step: ModelCall): Promise<void> {
    await this.answer(conversation, i, step);
    if (this.isStopped) return;
    this.conversations.set(i, conversation);
    const isLast = !this.places.get(i)!.isContinued;
    if (isLast && toolUses(step.agent, step.output ?? []).length === 0) await this.finish(conversation, i);
  }

  /** Goes on until the agent asks for no more tools, where the record has no call left for it. */
  private async finish(conversation: Conversation, i: number): Promise<void> {
    const step = this.recording.steps[i] as ModelCall;
    while (conversation.pending.length > 0 && !this.isStopped) {
      if (++conversation.extra > EXTRA_CALLS_MAX)
        return this.stop('too_many_calls', step, i, {
          message: `The agent made ${EXTRA_CALLS_MAX} calls more than recorded and still asks for tools.`,
        });
      await this.resolve(conversation, i);
      if (!this.isStopped) await this.answer(conversation, undefined, step);
    }
  }

  /** Asks the model for the next answer; `i` is the recorded call in whose place it is. */
  private async answer(
    conversation: Conversation,
    i: number | undefined,
    recorded: ModelCall,
  ): Promise<void> {
    const { overrides = {}, mode, model, strict } = this.options;
    const call = callWith(overrides, recorded, [...conversation.history]);
    const began = this.transcript.begin();
    const said = await model(call, i === undefined ? undefined : recorded);
    if (said.outcome === 'unmatched')
      return this.stop('call_unmatched', recorded, i, {
        message: said.nearest
          ? 'The record has no such call; the nearest differs.'
          : 'The record has no such call left.',
        differences: said.differences,
      });
    this.transcript.call(began, call, versionsOf(call, recorded), said, mode !== 'exact');
    if (said.outcome === 'failed') {
      const kind = said.error === 'tool_withheld' ? said.error : 'call_failed';
      return this.stop(kind, recorded, i, said);
    }
    const { answer, match } = said;
    if (match && match.differences.length > 0) {
      this.transcript.near.push({
        step: this.transcript.steps.length - 1,
        recordedStep: this.recording.steps.indexOf(match.recorded),
        differences: match.differences,
      });
    } else if (match) this.transcript.matched++;
    conversation.history.push(...answer.output);
    conversation.pending = toolUses(recorded.agent, answer.output);
    if (i === undefined || recorded.output === null) return;
    const [before, now] = [textOf(recorded.output), textOf(answer.output)];
    this.carry.add(before, now);
    if (before !== now) this.isSame = false;
    const other = otherWay(this.n, recorded.agent, recorded.output, answer.output);
    if (other) {
      this.isSame = false;
      if (strict || mode === 'exact') this.stop(other.kind, recorded, i, other);
      else this.diverge(other.kind, recorded, i, other);
    }
    const rule = this.ruleOf(recorded.agent);
    const pass = rule && readVerdict(rule, now);
    if (pass !== undefined) this.transcript.say({ kind: 'verdict', name: recorded.agent, pass }, recorded);
  }

  /** Gives the conversation what its tools give. */
  private async resolve(conversation: Conversation, i: number): Promise<void> {
    const { api } = this.recording.steps[i] as ModelCall;
    const given: Message[] = [];
    const { pending } = conversation;
    conversation.pending = [];
    for (const use of pending) {
      const response = await this.useTool(use, i);
      if (this.isStopped) return;
      const part = { type: 'tool_call_response', id: use.callId, response };
      if (api === 'messages' && given.length > 0) given[0]!.parts.push(part);
      else given.push({ role: api === 'messages' ? 'user' : 'tool', parts: [part] });
    }
    conversation.history.push(...given);
  }

  private async useTool(use: ToolUse, i: number): Promise<unknown> {
    const step = this.recording.steps[i] as ModelCall;
    const began = this.transcript.begin();
    const { tools } = this.options;
    if (tools && !this.results.isDelegated(use)) {
      const done = await tools(use);
      if (done.outcome === 'done') {
        this.transcript.tool(began, use, step, done.result);
        return done.result;
      }
      return this.stop(done.outcome === 'withheld' ? 'tool_withheld' : 'tool_failed', step, i, done);
    }
    const found = this.results.match(use);
    if (found.outcome === 'unmatched')
      return this.stop('tool_not_recorded', step, i, {
        message: `What ${use.tool} gives for these arguments is not on record.`,
        differences: [
          `arguments: now ${use.arguments.slice(0, 200)}`,
          ...(found.nearest ? [`nearest recorded: ${found.nearest.arguments?.slice(0, 200)}`] : []),
        ],
      });
    const { recorded } = found;
    const response =
      typeof recorded.response === 'string' ? this.carry.text(recorded.response) : recorded.response;
    if (response === null || response === undefined)
      return this.stop('tool_not_recorded', step, i, {
        message: `What ${use.tool} gave was not recorded.`,
      });
    this.transcript.tool(began, use, recorded.step, recordedText({ ...recorded, response }));
    return response;
  }

  private stop(kind: Divergence['kind'], step: Step, i: number | undefined, what: Said): undefined {
    this.diverge(kind, step, i, what);
    this.isStopped = true;
  }

  private diverge(kind: Divergence['kind'], { agent }: Step, i: number | undefined, what: Said): void {
    const { message, differences = [] } = what;
    const step = Math.max(0, this.transcript.steps.length - 1);
    this.transcript.divergences.push({ kind, step, recordedStep: i ?? null, agent, message, differences });
  }

  private played(outcome: Played['outcome']): Played {
    const { recording, options, transcript } = this;
    const { replayId, mode } = options;
    const output = lastText(transcript.steps, isMaker);
    return {
      outcome,
      recording: transcript.recording({
        loop: recording.loop,
        run: replayId,
        traceId: runTraceId(recording.loop, replayId),
        replayOf: recording.run,
        itemId: recording.itemId,
        verdict: this.verdict(),
        goldenScore: null,
        state: outcome === 'stopped' ? 'failed' : 'ended',
        checkerVersion: recording.versions.checker,
      }),
      matched: transcript.matched,
      near: transcript.near,
      skipped: this.skipped,
      divergences: transcript.divergences,
      fresh: mode === 'exact' ? new Set() : transcript.fresh,
      output,
    };
  }

  /** How the answer of an agent is read as a verdict; `undefined` for all but checkers. */
  private ruleOf(agent: string): VerdictRule | undefined {
    const known = this.options.definition?.agents.find(({ name }) => name === agent);
    return known?.role === 'checker' ? known.verdict : undefined;
  }

  /** The one that was said last; `null` where nobody has judged what the replay came to. */
  private verdict(): Recording['verdict'] {
    const said = this.transcript.steps.findLast((step): step is Statement => step.kind === 'verdict');
    return said === undefined || said.pass === null ? null : { pass: said.pass, checker: said.name };
  }
}

type Said = { message: string; differences?: readonly string[] };

/** What came from outside: all but tools' results, and the agent's own words. */
const turnsOf = (added: readonly Message[]): Message[] =>
  added.filter((message) => message.role !== 'assistant' && !message.parts.every(isToolResult));

/** The text of the last answer of those agents that `is` means. */
function lastText(steps: readonly Step[], is: (call: ModelCall) => boolean): string | null {
  const last = steps.findLast((step) => step.kind === 'call' && step.output !== null && is(step)) as
    | ModelCall
    | undefined;
  return last ? textOf(last.output ?? []) : null;
}
