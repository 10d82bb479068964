import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { probeAlertText } from '../../evals/probe/message.ts';
import { loadSuites } from '../../evals/suite.ts';
import { statusDocument } from '../../src/cli/fleet-report.ts';
import { systemClock } from '../../src/clock.ts';
import { startRecordedProvider } from '../../src/provider/server.ts';
import { RunRecord } from '../../src/records/record.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { listModelEvents } from '../../src/store/model-events.ts';
import { probeCost, probeJobs, probesOf } from '../../src/store/probes.ts';
import { suiteFolder } from '../support/eval-runs.ts';
import { startProbed, startSwitch } from '../support/probed.ts';
import { startTestStore } from '../support/store.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

/**
 * A model that is swapped underneath a loop, with what GPT-4 really answered in March and in June 2023 (LLMDrift: Chen,
 * Zaharia & Zou 2023). The first call that June answers is a run; the probes that it sets off find out before the next.
 */
const FILE = join(process.env['LOOPSCOPE_TEST_DATA'] ?? '../shared/data', 'llmdrift/PRIME_FULL_EVAL.csv');
const skip = existsSync(FILE) ? false : `no LLMDrift answers at ${FILE}: set LOOPSCOPE_TEST_DATA`;
const ITEMS = 30;
const HOUR_MS = 3_600_000;

interface Row {
  model: string;
  query: string;
  ref_answer: string;
  answer: string;
}

const LOOP = 'primes';
const SUITE = `suite: primes-golden
loop: ${LOOP}
dataset: primes
scorer: { regex: "\\\\[(yes|no)\\\\]", flags: i }
probe:
  request: { model: gpt-4, messages: [{ role: user, content: "{{input}}" }] }
  items_per_day: 100
  items_per_model_change: 30
  schedule: "0 0 * * *"
`;
const LOOP_FILE = `loop: ${LOOP}\nowner: platform\nagents: [{ name: maker, role: maker }]\n`;

const clock = systemClock();
const log = pino({ level: 'silent' });
let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

async function startProvider(rows: readonly Row[], model: string) {
  const ts = '2023-06-01T00:00:00Z';
  const records = rows
    .filter((row) => row.model.endsWith(model))
    .map((row, n) =>
      RunRecord.parse({
        loop: LOOP,
        run: `r-${n}`,
        ts,
        model: 'gpt-4',
        served_model: model,
        input: row.query,
        output: row.answer,
        input_tokens: 40,
        output_tokens: 3,
      }),
    );
  return startRecordedProvider({ records, port: 0, latency: 0 });
}

test('another model answers: the probes say that it is worse before the next real run', {
  skip,
}, async (t) => {
  const rows = parse(readFileSync(FILE), { columns: true }) as Row[];
  const queries = [...new Set(rows.map(({ query }) => query))].slice(0, ITEMS);
  const march = await startProvider(rows, 'gpt-4-0314');
  const june = await startProvider(rows, 'gpt-4-0613');
  const provider = await startSwitch(march.url);
  const at = suiteFolder({ 's.yaml': SUITE });
  const { store } = server;
  mkdirSync(join(at.directory, 'loops'));
  at.write('loops/primes.yaml', LOOP_FILE);
  const golden = queries.map((query) => {
    const { ref_answer } = rows.find((row) => row.query === query)!;
    return JSON.stringify({ input: query, expected: ref_answer.toLowerCase() });
  });
  at.write('golden.jsonl', golden.join('\n'));
  await importGolden({ store, clock }, { path: join(at.directory, 'golden.jsonl'), dataset: 'primes' });
  const probed = await startProbed({ store, config: at.config, providerUrl: provider.url });
  t.after(async () => {
    await probed.close();
    await provider.close();
    await march.close();
    await june.close();
    at.remove();
  });
  const run = async (id: string, query: string) => {
    const answer = await fetch(`${probed.gateway.url}/loops/${LOOP}/agents/maker/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-loop-run': id },
      body: JSON.stringify({ model: 'gpt-4', messages: [{ role: 'user', content: query }] }),
    });
    assert.equal(answer.status, 200);
    await answer.bytes();
    await fetch(`${probed.gateway.url}/loops/${LOOP}/runs/${id}/end`, { method: 'POST' });
    await probed.stored();
  };
  const production = async () => {
    const [status] = (
      await statusDocument(
        {
          store,
          registry: loadRegistry(at.directory),
          suites: loadSuites(at.directory),
          now: clock.now(),
          runIdleMs: HOUR_MS,
        },
        LOOP,
      )
    ).loops;
    const { state: _, last_alert: __, ...figures } = status!;
    return figures;
  };

  await run('run-1', queries[0]!);
  await probed.lookAtModels();
  const before = await production();
  assert.equal(before.runs, 1);

  // On schedule: the maker is asked, with the loop's own call, and each answer is scored.
  await probed.probes().look();
  await probed.stored();
  const scheduled = await probesOf(store, { suite: 'primes-golden', loop: LOOP, kind: 'maker' });
  assert.equal(scheduled.length, 100);
  assert.ok(scheduled.every(({ error, served_model }) => error === '' && served_model === 'gpt-4-0314'));
  assert.ok(new Set(scheduled.map(({ item_id }) => item_id)).size > 0.7 * ITEMS);
  assert.deepEqual(await production(), before, 'probes are no runs of the loop');
  assert.deepEqual(await listAlerts(store, { loop: LOOP }), []);
  const spans = await store.query<{ n: number; runs: number }>(
    `SELECT count() AS n, countIf(RunId != '') AS runs FROM loopscope.otel_traces
     WHERE SpanAttributes['loopscope.probe'] = 'true' AND Record = 'call'`,
  );
  assert.deepEqual(spans, [{ n: 100, runs: 0 }]);
  assert.ok((await probeCost(store, { suite: 'primes-golden', loop: LOOP }))! > 0);

  // June answers the next run. Nobody knows yet that it is worse.
  provider.turnTo(june.url);
  await run('run-2', queries[1]!);
  const swapped = await production();
  await probed.lookAtModels();
  assert.equal((await listModelEvents(store, { loop: LOOP, limit: 10 })).length, 1);
  await probed.probes().look();
  await probed.stored();

  const [alert, ...others] = await listAlerts(store, { loop: LOOP });
  assert.equal(others.length, 0);
  assert.deepEqual([alert!.kind, alert!.state], ['golden_drop', 'firing']);
  assert.deepEqual(alert!.cause, { dimension: 'model', from: 'gpt-4-0314', to: 'gpt-4-0613' });
  const evidence = alert!.evidence as {
    pairs: number;
    p_value: number;
    golden: { before: number; after: number };
  };
  assert.ok(evidence.pairs > 0.7 * ITEMS && evidence.p_value <= 0.01);
  assert.ok(evidence.golden.before - evidence.golden.after > 0.15);
  assert.match(probeAlertText(alert!), /gpt-4-0613 answers in place of gpt-4-0314/);
  assert.deepEqual(await production(), swapped, 'nor are those after a change of model');

  // Once a change, over restarts too; whatever else is due goes on.
  const jobs = async () =>
    (await probeJobs(store, { suite: 'primes-golden' })).map(({ reason, state }) => `${reason} ${state}`);
  assert.deepEqual((await jobs()).toSorted(), ['model_change done', 'schedule done']);
  await probed.probes().look();
  assert.equal((await jobs()).length, 2);

  // The detector, which looks at the loop's runs, lets it stand; the role as a whole has nothing left to ask.
  const receiver = await startReceiver(() => 200);
  t.after(() => receiver.close());
  const webhooks = [{ url: receiver.url, secret_env: undefined, secret: undefined }];
  const config = { ...at.config, alerts: { ...at.config.alerts, webhooks } };
  const evals = await startEvals({ config, store, clock, log, gatewayUrl: probed.gateway.url });
  t.after(() => evals.close());
  await evals.idle();
  assert.equal((await production()).golden.n, 1, 'the run since the change is scored');
  assert.deepEqual(
    (await listAlerts(store, { loop: LOOP })).map(({ state }) => state),
    ['firing'],
  );
  assert.equal((await jobs()).length, 2);
  const { text } = JSON.parse(receiver.received.at(-1)!.body) as { text: string };
  assert.equal(text, probeAlertText(alert!));
  await evals.close();

  // The old model comes back: the scheduled probes of the next day say so, and the alert is over.
  provider.turnTo(march.url);
  await probed.probes({ now: clock.now() + 25 * HOUR_MS }).look();
  assert.deepEqual(
    (await listAlerts(store, { loop: LOOP })).map(({ state }) => state),
    ['resolved'],
  );
});
