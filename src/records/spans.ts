import { A } from '../span/attributes.ts';
import { agentSpanId, recordSpanId, runSpanId, runTraceId } from '../span/ids.ts';
import { type Attributes, emptyAttributes, type Span } from '../span/span.ts';
import { inputShape } from './input-shape.ts';
import { contentHash, inputHash } from './normalize.ts';
import type { RunRecord } from './record.ts';
import { recordTimes } from './times.ts';

export interface RecordSpanOptions {
  /** Whether the loop is in the registry. */
  registered: boolean;
  /** The run's golden score, where it is not the record's own. */
  goldenScore?: number | undefined;
}

/** The spans of a run that is one record. */
export const recordSpans = (record: RunRecord, options: RecordSpanOptions): Span[] =>
  runSpans([record], options);

/**
 * The spans of a run: the run, its agents, and of each record the model call, the verdict and the effects. All ids
 * follow from what the records say, so the same records always give the same spans.
 * `records` are of one run, and at least one.
 */
export function runSpans(records: readonly RunRecord[], options: RecordSpanOptions): Span[] {
  const { loop, run } = records[0]!;
  const traceId = runTraceId(loop, run);
  const context: RunContext = { traceId, records, options };
  const spans = [runSpan(context), ...agentSpans(context)];
  for (const record of records) {
    if (hasCall(record)) spans.push(callSpan(context, record));
    if (record.checker) spans.push(verdictSpan(context, record, record.checker));
    record.effects?.forEach((name, i) => {
      spans.push(effectSpan(context, record, name, i));
    });
  }
  return spans;
}

interface RunContext {
  traceId: string;
  records: readonly RunRecord[];
  options: RecordSpanOptions;
}

function runSpan(context: RunContext): Span {
  const { traceId, records, options } = context;
  const golden = records.findLast((r) => r.golden !== undefined)?.golden;
  return span(context, {
    spanId: runSpanId(traceId),
    parentSpanId: '',
    name: `invoke_workflow ${records[0]!.loop}`,
    ...recordTimes(records),
    attributes: {
      [A.record]: 'run',
      [A.operation]: 'invoke_workflow',
      [A.itemId]: records.find((r) => r.item !== undefined)?.item,
      [A.goldenScore]: options.goldenScore ?? golden?.score,
      [A.goldenExpected]: golden?.expected,
      [A.task]: taskOf(records),
      [A.datasetVersion]: records.findLast((r) => r.dataset_version !== undefined)?.dataset_version,
    },
  });
}

/** What kind of task a run had: the one it names, else the shape of the first input. */
export function taskOf(records: readonly RunRecord[]): string | undefined {
  const named = records.find((r) => r.task !== undefined)?.task;
  if (named !== undefined) return named;
  const input = records.find((r) => r.input !== undefined)?.input;
  return input === undefined ? undefined : inputShape(input);
}

/** An agent's name behind its parent's. */
export const agentPath = ({ agent = 'maker', parent_agent }: RunRecord): [string] | [string, string] =>
  parent_agent === undefined ? [agent] : [parent_agent, agent];

function agentSpans(context: RunContext): Span[] {
  const { traceId, records } = context;
  const active = new Map<string, { path: string[]; records: RunRecord[] }>();
  for (const record of records) {
    if (record.agent === undefined && !hasCall(record)) continue;
    const path = agentPath(record);
    // A parent is at work while its sub-agents are, whether a record says so or not.
    for (let depth = 1; depth <= path.length; depth++) {
      const part = path.slice(0, depth);
      const key = part.join('\0');
      if (!active.has(key)) active.set(key, { path: part, records: [] });
      active.get(key)!.records.push(record);
    }
  }
  return [...active.values()].map(({ path, records: own }) =>
    span(context, {
      spanId: agentSpanId(traceId, path),
      parentSpanId: path.length > 1 ? agentSpanId(traceId, path.slice(0, -1)) : runSpanId(traceId),
      name: `invoke_agent ${path.at(-1)}`,
      ...recordTimes(own),
      attributes: { [A.record]: 'agent', [A.operation]: 'invoke_agent', ...agentAttributes(context, path) },
    }),
  );
}

/** What the agent at `path` is in the run that `records` make up. */
export function agentRole(
  records: readonly RunRecord[],
  path: readonly string[],
): 'maker' | 'checker' | 'sub' {
  if (path.length > 1) return 'sub';
  const name = path[0];
  // An agent that bears the checker's name is the checker, unless it is the only one: then it judges its own work.
  const checks =
    records.some((r) => r.checker?.name === name) && records.some((r) => agentPath(r)[0] !== name);
  return checks ? 'checker' : 'maker';
}

function agentAttributes({ records }: RunContext, path: readonly string[]): OptionalAttributes {
  return {
    [A.agentName]: path.at(-1),
    [A.agentRole]: agentRole(records, path),
    [A.parentAgent]: path.length > 1 ? path[0] : undefined,
  };
}

const hasCall = (r: RunRecord): boolean =>
  [
    r.model,
    r.served_model,
    r.input,
    r.output,
    r.input_tokens,
    r.output_tokens,
    r.cost_usd,
    r.latency_ms,
  ].some((field) => field !== undefined);

function callSpan(context: RunContext, record: RunRecord): Span {
  const path = agentPath(record);
  const { ts, model, input, output } = record;
  const content = contentHash(JSON.stringify([model, input, output]));
  return span(context, {
    spanId: recordSpanId(context.traceId, 'call', ...path, ts, content),
    parentSpanId: agentSpanId(context.traceId, path),
    name: model === undefined ? 'chat' : `chat ${model}`,
    kind: 'Client',
    ...recordTimes([record]),
    attributes: {
      [A.record]: 'call',
      [A.operation]: 'chat',
      ...agentAttributes(context, path),
      [A.requestModel]: model,
      [A.responseModel]: record.served_model,
      [A.promptVersion]: record.prompt_version,
      [A.toolsVersion]: record.tools_version,
      [A.inputTokens]: record.input_tokens,
      [A.outputTokens]: record.output_tokens,
      [A.costUsd]: record.cost_usd,
      [A.itemId]: record.item,
      [A.inputHash]: input === undefined ? undefined : inputHash(input),
      [A.inputText]: input,
      [A.outputText]: output,
    },
  });
}

function verdictSpan(
  context: RunContext,
  record: RunRecord,
  checker: NonNullable<RunRecord['checker']>,
): Span {
  const { traceId } = context;
  const { endNs } = recordTimes([record]);
  const verdict = span(context, {
    spanId: recordSpanId(traceId, 'verdict', checker.name, record.ts),
    parentSpanId: runSpanId(traceId),
    name: `verdict ${checker.name}`,
    startNs: endNs,
    endNs,
    attributes: {
      [A.record]: 'verdict',
      [A.checkerName]: checker.name,
      [A.checkerVersion]: checker.version,
      [A.verdictPass]: checker.pass,
    },
  });
  verdict.events.push({
    timeNs: endNs,
    name: 'gen_ai.evaluation.result',
    attributes: present({
      [A.evaluationName]: checker.name,
      [A.evaluationLabel]: checker.pass ? 'pass' : 'fail',
      [A.evaluationScore]: checker.pass ? 1 : 0,
    }),
  });
  return verdict;
}

function effectSpan(context: RunContext, record: RunRecord, name: string, index: number): Span {
  const { endNs } = recordTimes([record]);
  return span(context, {
    spanId: recordSpanId(context.traceId, 'effect', record.ts, String(index), name),
    parentSpanId: runSpanId(context.traceId),
    name: `effect ${name}`,
    startNs: endNs,
    endNs,
    attributes: { [A.record]: 'effect', [A.effect]: name },
  });
}

type OptionalAttributes = Record<string, string | number | boolean | undefined>;

interface SpanParts extends Pick<Span, 'spanId' | 'parentSpanId' | 'name' | 'startNs' | 'endNs'> {
  kind?: Span['kind'];
  attributes: OptionalAttributes;
}

function span({ traceId, records, options }: RunContext, parts: SpanParts): Span {
  const { loop, run } = records[0]!;
  return {
    traceState: '',
    kind: 'Internal',
    statusCode: 'Unset',
    statusMessage: '',
    resource: present({ 'service.name': 'loopscope' }),
    scopeName: 'loopscope.import',
    scopeVersion: '',
    events: [],
    links: [],
    ...parts,
    traceId,
    attributes: present({
      [A.loop]: loop,
      [A.runId]: run,
      [A.registered]: options.registered,
      ...parts.attributes,
    }),
  };
}

/** What nobody said is left out: absent is not 0. */
function present(values: OptionalAttributes): Attributes {
  const attributes = emptyAttributes();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) attributes[name] = String(value);
  }
  return attributes;
}
