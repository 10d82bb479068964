import type { Message } from '../recording.ts';
import { shownApart } from './match.ts';
import { toolUses } from './message-parts.ts';
import type { Normaliser } from './normalise.ts';
import type { DivergenceKind } from './ports.ts';

/**
 * Whether a fresh answer goes the way of the recorded one: the same tools with the same arguments, in any order; or no
 * tool where there was none. What it says besides may be put in other words.
 */
export interface OtherWay {
  kind: DivergenceKind;
  message: string;
  differences: string[];
}

export function otherWay(
  n: Normaliser,
  agent: string,
  recorded: readonly Message[],
  fresh: readonly Message[],
): OtherWay | undefined {
  const before = toolUses(agent, recorded);
  const now = toolUses(agent, fresh);
  if (before.length > 0 && now.length === 0)
    return {
      kind: 'no_tool_call',
      message: `The model was expected to call ${names(before)}; it answered without calling a tool.`,
      differences: [],
    };
  const rest = [...now];
  for (const use of before) {
    const at = rest.findIndex(
      (other) => other.tool === use.tool && n.value(other.arguments) === n.value(use.arguments),
    );
    if (at !== -1) {
      rest.splice(at, 1);
      continue;
    }
    const other = rest.find(({ tool }) => tool === use.tool);
    if (!other)
      return {
        kind: 'other_tool',
        message: `The model was expected to call ${use.tool}; it called ${names(rest) || 'fewer tools'}.`,
        differences: [],
      };
    const [a, b] = shownApart(n.value(use.arguments), n.value(other.arguments));
    return {
      kind: 'other_arguments',
      message: `The model called ${use.tool} with other arguments than recorded.`,
      differences: [`arguments: recorded ${a}, now ${b}`],
    };
  }
  if (rest.length === 0) return undefined;
  return {
    kind: 'more_tool_calls',
    message:
      before.length === 0
        ? `The model was expected to answer without a tool; it called ${names(rest)}.`
        : `The model called ${names(rest)} besides what was recorded.`,
    differences: [],
  };
}

const names = (uses: readonly { tool: string }[]): string => uses.map(({ tool }) => tool).join(', ');
