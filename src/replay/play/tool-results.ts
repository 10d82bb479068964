import type { ModelCall, Recording, ToolCall } from '../recording.ts';
import { delegations } from './delegation.ts';
import { textSimilarity } from './match.ts';
import { isToolResult, resultText, toolUses } from './message-parts.ts';
import type { Normaliser } from './normalise.ts';
import type { ToolUse } from './ports.ts';
import type { Place } from './threads.ts';

/**
 * Recorded results of tools. A use gets the result of the same tool with the same arguments, in order among equals, its own
 * agent's first; without strictness also that of the agent's next use of the tool whose arguments are nearly the same,
 * which is told. Each is given once.
 */
export type ToolMatch =
  | { outcome: 'matched'; recorded: RecordedResult }
  | { outcome: 'near'; recorded: RecordedResult; before: string }
  | { outcome: 'unmatched'; nearest: ToolCall | undefined };

export interface RecordedResult {
  index: number;
  step: ToolCall;
  /** As the model got it: text, or blocks of content. */
  response: unknown;
}

export interface ToolResults {
  match(use: ToolUse): ToolMatch;
  /** Whether a use is a sub-agent at work, which is played itself. */
  isDelegated(use: ToolUse): boolean;
  /** Uses that no model asked for: the loop's own code did. */
  ofCode: ReadonlySet<number>;
}

const SIMILARITY_MIN = 0.8;

export function toolResults(
  recording: Recording,
  places: ReadonlyMap<number, Place>,
  n: Normaliser,
  strict: boolean,
): ToolResults {
  const asked = new Set<string>();
  // Models use an id again within a run: it names a result only together with what was given.
  const responses = new Map<string, unknown[]>();
  const keyOf = (agent: string, tool: string, text: string) => JSON.stringify([agent, tool, n.value(text)]);
  for (const step of recording.steps) {
    if (step.kind !== 'call') continue;
    for (const use of toolUses(step.agent, step.output ?? [])) {
      asked.add(keyOf(use.agent, use.tool, use.arguments));
      if (use.callId) asked.add(use.callId);
    }
  }
  for (const [index, { continues, added }] of places) {
    const messages = continues === null ? ((recording.steps[index] as ModelCall).input ?? []) : added;
    for (const part of messages.flatMap((message) => message.parts)) {
      if (!isToolResult(part)) continue;
      const id = String(part['id']);
      const known = responses.get(id);
      if (known) known.push(part['response']);
      else responses.set(id, [part['response']]);
    }
  }
  const responseOf = ({ callId, result }: ToolCall): unknown => {
    const given = responses.get(callId) ?? [];
    return result === null && given.length === 1
      ? given[0]
      : (given.find((response) => resultText(response) === result) ?? result);
  };
  const unused: (RecordedResult & { wanted: string })[] = [];
  const ofCode = new Set<number>();
  recording.steps.forEach((step, index) => {
    if (step.kind !== 'tool') return;
    const isAsked =
      asked.has(step.callId || '\0') || asked.has(keyOf(step.agent, step.tool, step.arguments ?? ''));
    if (!isAsked) ofCode.add(index);
    else
      unused.push({
        index,
        step,
        response: responseOf(step),
        wanted: n.value(step.arguments ?? ''),
      });
  });
  const take = (found: RecordedResult & { wanted: string }): RecordedResult => {
    unused.splice(unused.indexOf(found), 1);
    return found;
  };
  const delegated = delegations(recording);
  return {
    ofCode,
    isDelegated: ({ agent, tool, arguments: given }) => {
      const wanted = n.value(given);
      const same = unused.find(
        ({ step, wanted: known }) => step.agent === agent && step.tool === tool && known === wanted,
      );
      return same !== undefined && delegated.has(same.index);
    },
    match(use) {
      const wanted = n.value(use.arguments);
      const same = unused.filter((known) => known.step.tool === use.tool && known.wanted === wanted);
      const exact =
        same.find(({ step }) => step.callId !== '' && step.callId === use.callId) ??
        same.find(({ step }) => step.agent === use.agent) ??
        same[0];
      if (exact) return { outcome: 'matched', recorded: take(exact) };
      const next = unused.find(({ step }) => step.tool === use.tool && step.agent === use.agent);
      const before = next?.step.arguments ?? '';
      if (!strict && next && textSimilarity(before, use.arguments) >= SIMILARITY_MIN)
        return { outcome: 'near', recorded: take(next), before };
      return { outcome: 'unmatched', nearest: next?.step };
    },
  };
}

/** As plain text, for the record of the replay. */
export const recordedText = ({ response }: RecordedResult): string | null =>
  response === null || response === undefined ? null : resultText(response);
