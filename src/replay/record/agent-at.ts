import type { RecordedSpan } from '../../store/recordings.ts';
import type { Step } from '../recording.ts';
import { ancestors } from './ancestors.ts';

type Agent = Pick<Step, 'agent' | 'role' | 'parentAgent'>;

/**
 * Which agent was at work in a span: the one that the span names, else the nearest above it. An agent below another one
 * works for it.
 */
export function agentAt(span: RecordedSpan): Agent {
  if (span.agent !== '' && span.parentAgent !== '') return named(span);
  const above = [...ancestors(span)].filter(
    ({ operation, agent }) => operation === 'invoke_agent' && agent !== '',
  );
  const own = span.agent === '' ? above.shift() : span;
  if (!own) return named(span);
  const parent = own.parentAgent || above.find(({ agent }) => agent !== own.agent)?.agent || '';
  return { ...named(own), parentAgent: parent };
}

const named = ({ agent, role, parentAgent }: RecordedSpan): Agent => ({
  agent,
  role: role === 'maker' || role === 'checker' || role === 'sub' ? role : '',
  parentAgent,
});
