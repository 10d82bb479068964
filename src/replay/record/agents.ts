import type { RecordedSpan } from '../../store/recordings.ts';
import type { Step } from '../recording.ts';

type Agent = Pick<Step, 'agent' | 'role' | 'parentAgent'>;

/** Ancestors that are looked at; a trace from a stranger may be a circle. */
const DEPTH_MAX = 100;

/**
 * Which agent was at work in a span: the one that the span names, else the nearest above it. An agent below another one
 * works for it.
 */
export class Agents {
  readonly #spans = new Map<string, RecordedSpan>();

  constructor(spans: readonly RecordedSpan[]) {
    for (const span of spans) this.#spans.set(span.traceId + span.spanId, span);
  }

  of(span: RecordedSpan): Agent {
    if (span.agent !== '' && span.parentAgent !== '') return agentOf(span);
    const above = this.#above(span);
    const own = span.agent === '' ? above.shift() : span;
    if (!own) return agentOf(span);
    const parent = own.parentAgent || above.find(({ agent }) => agent !== own.agent)?.agent || '';
    return { ...agentOf(own), parentAgent: parent };
  }

  /** The agents above a span, nearest first. */
  #above(span: RecordedSpan): RecordedSpan[] {
    const agents: RecordedSpan[] = [];
    let at = this.#spans.get(span.traceId + span.parentSpanId);
    for (let depth = 0; at && depth < DEPTH_MAX; depth++) {
      if (at.operation === 'invoke_agent' && at.agent !== '') agents.push(at);
      at = this.#spans.get(at.traceId + at.parentSpanId);
    }
    return agents;
  }
}

const agentOf = ({ agent, role, parentAgent }: RecordedSpan): Agent => ({
  agent,
  role: role === 'maker' || role === 'checker' || role === 'sub' ? role : '',
  parentAgent,
});
