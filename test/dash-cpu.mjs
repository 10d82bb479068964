import { readFileSync, readdirSync } from 'node:fs';
import { startTestStore } from './support/store.ts';
import { panelQueries } from './support/grafana-queries.ts';
const s = await startTestStore();
const kids = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean);
const pid = kids(process.pid)[0];
const cpu = () => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' '); return (Number(f[11]) + Number(f[12])) * 10; };
const ask = async (q) => { const r = await fetch(`${s.url}/?user=default`, { method: 'POST', body: q }); const t = await r.text(); if (!r.ok) console.log(t.slice(0, 200)); return t; };
const loops = 200, runs = Number(process.argv[2] ?? 20000);
await ask(`INSERT INTO loopscope.registry_versions SELECT concat('l', toString(number)), 'v', concat('{"loop":"l', toString(number), '","owner":"o","schedule":"*/10 * * * *"}'), now64(3) - 86400 FROM numbers(${loops})`);
await ask(`INSERT INTO loopscope.otel_traces (Timestamp, TraceId, SpanId, SpanName, ServiceName, Duration, StatusCode, SpanAttributes) SELECT now64(9) - number, hex(number), hex(number), 'invoke_workflow x', 'gw', 1000000, 'Ok', map('loopscope.loop', concat('l', toString(number % ${loops})), 'loopscope.run.id', concat('r', toString(number)), 'loopscope.record', 'run', 'loopscope.verdict.pass', 'true', 'loopscope.cost_usd', '0.1') FROM numbers(${runs})`);
await ask(`INSERT INTO loopscope.eval_scores (loop, suite, run_id, score, scored_at) SELECT concat('l', toString(number % ${loops})), 's', concat('r', toString(number)), 0.9, now64(3) FROM numbers(${runs})`);
await ask(`INSERT INTO loopscope.alerts SELECT 'a', 'l1', 'golden_drop', 'firing', now64(3), now64(3), now64(3)-3600, 1, 'null', '{}'`);
const measure = async (name, q, n = 5) => { await ask(q); const c = cpu(), t = performance.now(); for (let i = 0; i < n; i++) await ask(q); console.log(`${((cpu() - c) / n).toFixed(0).padStart(6)} ms cpu ${((performance.now() - t) / n).toFixed(0).padStart(6)} ms wall  ${name}`); };
const idle = cpu(); await new Promise((r) => setTimeout(r, 2000)); console.log('idle cpu in 2 s', cpu() - idle);
for (const q of ['SELECT 1', 'SELECT * FROM loopscope.loop_schedules', 'EXPLAIN SELECT * FROM loopscope.loop_schedules', 'SELECT * FROM loopscope.runs', 'EXPLAIN SELECT * FROM loopscope.runs', 'SELECT * FROM loopscope.golden_scores', 'SELECT * FROM loopscope.alerts_now', 'EXPLAIN SELECT * FROM loopscope.loop_states', 'SELECT * FROM loopscope.loop_states FORMAT Null',  'SELECT * FROM loopscope.loop_states FORMAT Null SETTINGS compile_expressions=0, compile_aggregate_expressions=0, compile_sort_description=0', 'SELECT * FROM loopscope.loop_states FORMAT Null SETTINGS max_threads=2']) await measure(q, q);
if (process.argv[3]) for (const name of ['fleet','loop','run','money','gateway','pipeline']) {
  const d = JSON.parse(readFileSync(`deploy/grafana/dashboards/${name}.json`, 'utf8'));
  const to = Date.now();
  for (const { panel, sql } of panelQueries(d, { from: to - 86400e3, to, intervalMs: 60000 }, { loop: name === 'loop' || name === 'run' ? 'l1' : { all: ['l1'] }, agent: { all: [] }, model: { all: [] }, run: 'r1' })) await measure(`${name} / ${panel.title}`, sql, 3);
}
await s.close();
