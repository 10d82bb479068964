import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type DemoAtRest, startDemo } from '../support/grafana-demo.ts';
import { frameComplaints } from '../support/grafana-frames.ts';
import { type DashboardJson, expand, FORMAT, panelQueries } from '../support/grafana-queries.ts';
import type { Values } from '../support/grafana-variables.ts';
import { until } from '../support/until.ts';

/** Every panel of every dashboard on the demo's data, as the user of dashboards, by ClickHouse's HTTP. */
const NAMES = ['fleet', 'loop', 'run', 'money', 'gateway', 'pipeline'] as const;
const FOLDER = join(import.meta.dirname, '../../deploy/grafana/dashboards');
const dashboards = NAMES.map(
  (name) => JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as DashboardJson,
);

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** Of each role's own metrics: a growth lies between two. */
const READINGS_MIN = 2;

let demo: DemoAtRest;
/** A run of the loop that fails silently, from after the change. */
let run: string;

before(async () => {
  demo = await startDemo();
  const row = await one(
    `SELECT argMax(run_id, started_at) AS run FROM loopscope.runs WHERE loop = '${demo.truth.loop}'`,
  );
  run = String(row['run']);
  await until(
    'each role to have told of itself a few times',
    async () => {
      const { data } = await demo.read(
        `SELECT ServiceName FROM loopscope.otel_metrics_gauge WHERE ServiceName LIKE 'loopscope-%'
         GROUP BY ServiceName HAVING uniq(TimeUnix) >= ${READINGS_MIN}`,
      );
      return data.length >= 3;
    },
    120_000,
  );
});
after(() => demo?.close());

const one = async (sql: string) => (await demo.read(sql)).data[0]!;

/** Everything is chosen, or the loop that the demo is about. */
async function chosen(loops: 'all' | 'one'): Promise<Values> {
  if (loops === 'one') return { loop: demo.truth.loop, agent: ['bumper'], model: { all: [] }, run };
  const { data } = await demo.read('SELECT DISTINCT loop FROM loopscope.run_parts');
  return { loop: { all: data.map(({ loop }) => String(loop)) }, agent: { all: [] }, model: { all: [] }, run };
}

/** A dashboard for one loop has no All. */
const isOfOne = ({ uid }: DashboardJson) => uid === 'loopscope-loop' || uid === 'loopscope-run';

const day = () => ({ from: Date.now() - DAY_MS, to: Date.now(), intervalMs: MINUTE_MS });
/** A range in which the demo fills the width of a graph, with points as near to each other as may be. */
const quarter = () => ({ from: Date.now() - 15 * MINUTE_MS, to: Date.now(), intervalMs: 1_000 });

for (const dashboard of dashboards)
  test(`${dashboard.title}: every panel has something to show, and can show it`, async () => {
    const values = await chosen(isOfOne(dashboard) ? 'one' : 'all');
    for (const query of [
      ...panelQueries(dashboard, quarter(), values).filter(isGraph),
      ...panelQueries(dashboard, day(), values).filter((one) => !isGraph(one)),
    ]) {
      const result = await demo.read(query.sql);
      assert.deepEqual(frameComplaints(query, result), [], `${query.panel.title}: ${query.sql}`);
    }
  });

test('one loop, agent and model can be chosen where several can', async () => {
  for (const dashboard of dashboards.filter((one) => !isOfOne(one))) {
    const values = { ...(await chosen('one')), model: ['gpt-4.1', 'gpt-4.1-2025-04-14'] };
    const narrowed = new Set(dashboard.panels.filter(usesVariables).map(({ id }) => id));
    for (const { panel, sql } of panelQueries(dashboard, day(), values).filter(({ panel }) =>
      narrowed.has(panel.id),
    ))
      assert.ok((await demo.read(sql)).data.length > 0, `${dashboard.title} / ${panel.title}: ${sql}`);
  }
});

const isGraph = ({ format }: { format: number }) => format === FORMAT.timeSeries;
const usesVariables = ({ targets = [] }: DashboardJson['panels'][number]) =>
  targets.some(({ rawSql }) => rawSql.includes('$__conditionalAll'));

test('every panel but text has a query, and every query a panel that shows its kind', () => {
  const kinds: Record<number, string[]> = {
    [FORMAT.timeSeries]: ['timeseries', 'state-timeline'],
    [FORMAT.table]: ['table', 'stat', 'barchart'],
    [FORMAT.trace]: ['traces'],
  };
  for (const { title, panels } of dashboards)
    for (const { type, targets = [], title: name } of panels) {
      assert.equal(targets.length, type === 'text' ? 0 : 1, `${title} / ${name}`);
      for (const { format } of targets) assert.ok(kinds[format]?.includes(type), `${title} / ${name}`);
    }
});

test('variables have values, the chosen ones among them', async () => {
  for (const dashboard of dashboards)
    for (const { name, type, query } of dashboard.templating.list) {
      if (type !== 'query') continue;
      assert.ok(typeof query === 'object', name);
      const { data, meta } = await demo.read(expand(query.rawSql, day(), await chosen('one')));
      const values = data.map((row) => row[meta[0]!.name]);
      assert.ok(
        values.length > 0 && values.every((value) => typeof value === 'string'),
        `${dashboard.title}: ${name}`,
      );
      if (name === 'loop') assert.ok(values.includes(demo.truth.loop));
      if (name === 'run') assert.ok(values.includes(run));
    }
});

test('marks on graphs say when, what and why; the alert and the swapped model are among them', async () => {
  const loop = dashboards.find(({ uid }) => uid === 'loopscope-loop')!;
  const marks = new Map<string, Record<string, unknown>[]>();
  for (const { name, target } of loop.annotations.list) {
    const { meta, data } = await demo.read(expand(target!.rawSql!, day(), await chosen('one')));
    assert.deepEqual(
      meta.map((column) => column.name),
      ['time', 'title', 'text', 'tags'],
      name,
    );
    assert.match(meta[0]!.type, /^DateTime64/);
    marks.set(name, data);
  }
  assert.match(String(marks.get('Alerts')![0]!['title']), /golden_drop/);
  assert.match(String(marks.get('Models')![0]!['text']), /gpt-4\.1-2025-04-14 → gpt-4\.1-nano/);
});

test('the trace has every span of the run once, and each hangs on another or is the run itself', async () => {
  const dashboard = dashboards.find(({ uid }) => uid === 'loopscope-run')!;
  const query = panelQueries(dashboard, day(), await chosen('one')).find(
    ({ format }) => format === FORMAT.trace,
  )!;
  const { data } = await demo.read(query.sql);
  const { n } = await one(
    `SELECT uniq(SpanId) AS n FROM loopscope.otel_traces WHERE Loop = '${demo.truth.loop}' AND RunId = '${run}'`,
  );
  assert.equal(data.length, n);
  const spans = new Set(data.map(({ spanID }) => spanID));
  assert.equal(spans.size, data.length);
  const roots = data.filter(({ parentSpanID }) => !spans.has(parentSpanID));
  assert.equal(roots.length, 1);
  for (const { startTime, duration } of data)
    assert.ok(Math.abs(Number(startTime) - Date.now()) < DAY_MS && Number(duration) < MINUTE_MS);
});

test('the fleet is as `status` says: states, scores with their intervals, evidence, and what it costs', async () => {
  const { data: states } = await demo.read('SELECT * FROM loopscope.loop_states');
  const dashboard = dashboards.find(({ uid }) => uid === 'loopscope-fleet')!;
  const table = panelQueries(dashboard, day(), await chosen('all')).find(
    ({ panel }) => panel.type === 'table',
  )!;
  const { data: rows } = await demo.read(table.sql);
  assert.equal(states.length, demo.loops.length);
  assert.equal(rows[0]!['Loop'], demo.truth.loop);
  assert.match(String(rows[0]!['What changed']), /^model: gpt-4\.1-2025-04-14 → gpt-4\.1-nano-2025-04-14$/);
  for (const status of demo.loops) {
    const state = states.find(({ loop }) => loop === status.loop)!;
    assert.deepEqual(
      [state['state'], state['phase'], state['owner'], state['golden_n'], state['registered']],
      [status.state, status.detector!.phase, status.owner, status.golden.n, 1],
      status.loop,
    );
    assertNear(state['golden_score'], status.golden.score, status.loop);
    assertNear(state['golden_low'], status.golden.low, status.loop);
    assertNear(state['golden_high'], status.golden.high, status.loop);
    assertNear(state['threshold'], status.detector!.threshold, status.loop);
    // The detector takes scores as they arrive, `status` in the order of their runs.
    if (status.state !== 'silently_failing')
      assertNear(state['e_value'], status.detector!.e_value, status.loop, 1);
    const row = rows.find(({ Loop }) => Loop === status.loop)!;
    assert.equal(row['Runs'], status.runs);
    assertNear(row['Checker passes'], status.checker_pass_rate, status.loop);
    assertNear(row['Effects/run'], status.effects_per_run, status.loop);
    assertNear(row['Spend'], status.cost_usd, status.loop);
    assertNear(row['Per outcome'], status.cost_per_useful_outcome_usd, status.loop);
  }
});

function assertNear(actual: unknown, expected: number | null, what: string, share = 1e-6): void {
  const near =
    expected === null
      ? actual === null
      : typeof actual === 'number' && Math.abs(actual - expected) <= share * Math.abs(expected) + 1e-9;
  assert.ok(near, `${what}: ${actual} instead of ${expected}`);
}
