import { randomBytes } from 'node:crypto';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import type { Store } from '../../src/store/client.ts';

/** What a test says of a span; the rest is made up. */
export interface SpanFacts {
  loop: string;
  run: string;
  record: 'run' | 'agent' | 'call' | 'verdict' | 'effect' | '';
  /** Milliseconds since the epoch. */
  at: number;
  tookMs?: number;
  agent?: string;
  role?: string;
  parentAgent?: string;
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  name?: string;
  status?: 'Unset' | 'Ok' | 'Error';
  statusMessage?: string;
  registered?: boolean;
  attributes?: Record<string, string>;
}

/** A row of `otel_traces` as the gateway's and the collector's work leaves it. */
export function spanRow(facts: SpanFacts): Record<string, unknown> {
  const { loop, run, record, at, tookMs = 100, agent = '', role = '', parentAgent = '' } = facts;
  const traceId = facts.traceId ?? runTraceId(loop, run);
  const attributes: Record<string, string> = {};
  const put = (name: string, value: string) => {
    if (value) attributes[name] = value;
  };
  put(A.loop, loop);
  put(A.runId, run);
  put(A.record, record);
  put(A.agentName, agent);
  put(A.agentRole, role);
  put(A.parentAgent, parentAgent);
  put(A.registered, String(facts.registered ?? true));
  return {
    Timestamp: `${new Date(at).toISOString().slice(0, -1)}000000`,
    TraceId: traceId,
    SpanId: facts.spanId ?? ownSpanId(facts, traceId),
    ParentSpanId: facts.parentSpanId ?? ownParentId(facts, traceId),
    TraceState: '',
    SpanName: facts.name ?? ownName(facts),
    SpanKind: record === 'call' ? 'Client' : 'Internal',
    ServiceName: 'loopscope',
    ResourceAttributes: {},
    ScopeName: '',
    ScopeVersion: '',
    SpanAttributes: { ...attributes, ...facts.attributes },
    Duration: tookMs * 1e6,
    StatusCode: facts.status ?? 'Unset',
    StatusMessage: facts.statusMessage ?? '',
  };
}

const path = ({ agent = '', parentAgent = '' }: SpanFacts) => (parentAgent ? [parentAgent, agent] : [agent]);

function ownSpanId(facts: SpanFacts, traceId: string): string {
  if (facts.record === 'run') return runSpanId(traceId);
  if (facts.record === 'agent') return agentSpanId(traceId, path(facts));
  return randomBytes(8).toString('hex');
}

function ownParentId(facts: SpanFacts, traceId: string): string {
  if (facts.record === 'run') return '';
  if (facts.record === 'call') return agentSpanId(traceId, path(facts));
  if (facts.record === 'agent' && facts.parentAgent) return agentSpanId(traceId, [facts.parentAgent]);
  return runSpanId(traceId);
}

function ownName({ record, loop, agent }: SpanFacts): string {
  if (record === 'run') return `invoke_workflow ${loop}`;
  if (record === 'agent') return `invoke_agent ${agent}`;
  return record === 'call' ? 'chat gpt-4' : record;
}

/** What a test says of a whole run: a maker's call, and what else is given. */
export interface RunFacts {
  loop: string;
  run: string;
  at: number;
  pass?: boolean;
  /** Whether each effect was accepted. */
  effects?: readonly boolean[];
  costUsd?: number;
  servedModel?: string;
  registered?: boolean;
  score?: number;
}

/** Rows of a run that is over. */
export function runRows(facts: RunFacts): Record<string, unknown>[] {
  const { loop, run, at, registered, pass, effects = [], costUsd, servedModel = 'gpt-4-0314', score } = facts;
  const common = { loop, run, registered };
  return [
    spanRow({
      ...common,
      record: 'call',
      at,
      agent: 'maker',
      role: 'maker',
      attributes: {
        [A.requestModel]: 'gpt-4',
        [A.responseModel]: servedModel,
        [A.inputTokens]: '40',
        [A.outputTokens]: '3',
        ...(costUsd === undefined ? {} : { [A.costUsd]: String(costUsd) }),
      },
    }),
    ...(pass === undefined
      ? []
      : [
          spanRow({
            ...common,
            record: 'verdict',
            at: at + 150,
            tookMs: 0,
            attributes: { [A.verdictPass]: String(pass), [A.checkerName]: 'parses' },
          }),
        ]),
    ...effects.map((accepted) =>
      spanRow({
        ...common,
        record: 'effect',
        at: at + 200,
        tookMs: 0,
        attributes: { [A.effect]: 'pr_opened', [A.effectAccepted]: String(accepted) },
      }),
    ),
    spanRow({
      ...common,
      record: 'run',
      at,
      tookMs: 300,
      attributes: score === undefined ? {} : { [A.goldenScore]: String(score) },
    }),
  ];
}

export const insertSpans = (store: Store, rows: readonly Record<string, unknown>[]): Promise<void> =>
  store.insert('otel_traces', rows);
