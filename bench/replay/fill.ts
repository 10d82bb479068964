import type { Store } from '../../src/store/client.ts';

/** Other runs that are stored beside the one that is read: a month of them, and the messages that they refer to. */
const SPANS_PER_RUN = 100;
const RUNS_AT_ONCE = 5_000;
const LOOPS = 40;
const DAYS = 30;

/** Fills the tables with `spans` spans of other runs before `until`, by SQL. */
export async function fillStore(
  store: Store,
  { spans, until, progress }: { spans: number; until: number; progress: (spans: number) => void },
): Promise<void> {
  const runs = Math.ceil(spans / SPANS_PER_RUN);
  for (let from = 0; from < runs; from += RUNS_AT_ONCE) {
    const to = Math.min(runs, from + RUNS_AT_ONCE);
    const range = { from, to, runs, until, spansPerRun: SPANS_PER_RUN, loops: LOOPS, days: DAYS };
    await store.command(
      `INSERT INTO ${store.database}.otel_traces
         (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, SpanAttributes, Duration, StatusCode)
       SELECT addMilliseconds(fromUnixTimestamp64Milli({until:Int64}),
                -toInt64((1 - run / {runs:UInt32}) * {days:UInt32} * 86400000) + n * 900) AS started,
         lower(hex(sipHash128('trace', run))) AS trace, lower(hex(sipHash64(run, n))) AS span, '',
         if(n = 0, 'invoke_workflow', if(n % 2 = 0, 'chat gpt-4o', 'execute_tool search')), 'Client', 'loopscope',
         mapConcat(
           map('loopscope.loop', concat('loop-', toString(run % {loops:UInt32})), 'loopscope.run.id', concat('r-', toString(run)),
               'gen_ai.agent.name', 'maker', 'loopscope.agent.role', 'maker',
               'loopscope.record', if(n = 0, 'run', if(n % 2 = 0, 'call', 'tool'))),
           if(n > 0 AND n % 2 = 0,
             map('gen_ai.operation.name', 'chat', 'gen_ai.provider.name', 'openai', 'gen_ai.request.model', 'gpt-4o',
                 'gen_ai.response.model', 'gpt-4o-2024-08-06', 'gen_ai.usage.input_tokens', '900',
                 'gen_ai.usage.output_tokens', '60', 'loopscope.cost_usd', '0.003', 'loopscope.output.text.hash', span),
             map('gen_ai.tool.name', 'search'))),
         800000000, 'Unset'
       FROM (SELECT arrayJoin(range({from:UInt32}, {to:UInt32})) AS run, arrayJoin(range({spansPerRun:UInt32})) AS n)`,
      range,
    );
    await store.command(
      `INSERT INTO ${store.database}.messages (trace_id, hash, role, content)
       SELECT lower(hex(sipHash128('trace', run))), lower(hex(SHA256(concat(toString(run), '/', toString(n))))), 'assistant', concat('message ', toString(n), ' of run ', toString(run))
       FROM (SELECT arrayJoin(range({from:UInt32}, {to:UInt32})) AS run, arrayJoin(range(20)) AS n)`,
      range,
    );
    progress(to * SPANS_PER_RUN);
  }
}
