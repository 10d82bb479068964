import type { RecordedSpan } from '../../store/recordings.ts';
import type { Step } from '../recording.ts';

type Agent = Pick<Step, 'agent' | 'role' | 'parentAgent'>;

/** Ancestors that are looked at; a trace from a stranger may be a circle. */
const DEPTH_MAX = 100;

/**
 * Which agent was at work in a span: the one that the span names, else the nearest above it. An agent below another one
 * works for it.
 */
export function agentAt(span: RecordedSpan): Agent {
  if (span.agent !== '' && span.parentAgent !== '') return named(span);
  const above = agentsAbove(span);
  const own = span.agent === '' ? above.shift() : span;
  if (!own) return named(span);
  const parent = own.parentAgent || above.find(({ agent }) => agent !== own.agent)?.agent || '';
  return { ...named(own), parentAgent: parent };
}

/** Nearest first. */
function agentsAbove({ parent }: RecordedSpan): RecordedSpan[] {
  const agents: RecordedSpan[] = [];
  let at = parent;
  for (let depth = 0; at && depth < DEPTH_MAX; depth++) {
    if (at.operation === 'invoke_agent' && at.agent !== '') agents.push(at);
    at = at.parent;
  }
  return agents;
}

const named = ({ agent, role, parentAgent }: RecordedSpan): Agent => ({
  agent,
  role: role === 'maker' || role === 'checker' || role === 'sub' ? role : '',
  parentAgent,
});
