import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import {
  appendProbeJob,
  insertProbe,
  newestFirstCall,
  type ProbeJobRow,
  type ProbeRow,
  probeJobs,
  probesDone,
  probesOf,
} from '../../src/store/probes.ts';
import { insertSpans, spanRow } from '../support/span-rows.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const T0 = Date.UTC(2026, 10, 26);
const DAY = 86_400_000;
const job = (facts: Partial<ProbeJobRow>): ProbeJobRow => ({
  job_id: 'j',
  suite: 's',
  loop: 'l',
  reason: 'schedule',
  due_at: T0,
  event_id: '',
  state: 'done',
  at: T0,
  planned: 0,
  answered: 0,
  errors: 0,
  message: '',
  ...facts,
});

test('of jobs the newest of each reason is known however long ago it was, each in its newest state', async () => {
  const { store } = server;
  await appendProbeJob(store, job({ job_id: 'old', due_at: T0 - 14 * DAY }));
  await appendProbeJob(store, job({ job_id: 'weekly', due_at: T0 - 7 * DAY, state: 'started' }));
  await appendProbeJob(store, job({ job_id: 'weekly', due_at: T0 - 7 * DAY, at: T0 + 1, answered: 3 }));
  await appendProbeJob(
    store,
    job({ job_id: 'change', reason: 'model_change', due_at: T0 - DAY, state: 'started' }),
  );
  await appendProbeJob(store, job({ job_id: 'other', suite: 'other' }));
  const jobs = await probeJobs(store, { suite: 's', since: T0 - 2 * DAY });
  assert.deepEqual(
    jobs.map(({ job_id, state, answered }) => [job_id, state, answered]),
    [
      ['weekly', 'done', 3],
      ['change', 'started', 0],
    ],
  );
});

test('a probe that is told twice is there once, and what has no score has none', async () => {
  const { store } = server;
  const probe: ProbeRow = {
    run_id: 'p-1',
    job_id: 'j-1',
    suite: 's',
    loop: 'l',
    reason: 'schedule',
    kind: 'checker',
    item_id: 'i',
    item_hash: 'h',
    truth: 'wrong',
    template_version: 'v',
    served_model: 'm',
    score: null,
    passed: false,
    error: '',
    trace_id: 't',
    at: T0,
  };
  const failed = { ...probe, run_id: 'p-0', passed: null, error: 'timeout: no answer', at: T0 + 1 };
  for (const row of [probe, failed, probe, { ...probe, at: T0 + 5 }]) await insertProbe(store, row);
  const rows = await probesOf(store, { suite: 's', loop: 'l', kind: 'checker' });
  assert.deepEqual(rows, [probe, failed]);
  assert.deepEqual(
    await probesDone(store, { suite: 's', job_id: 'j-1' }),
    new Map([
      ['p-1', ''],
      ['p-0', 'timeout: no answer'],
    ]),
  );
});

test('the newest run’s first call of an agent is found with what was said, and a probe’s call never is', async () => {
  const { store } = server;
  const said = JSON.stringify({ role: 'user', parts: [{ type: 'text', content: 'q' }] });
  const content = (text: string) => ({ hash: contentHash(text), role: '', content: text });
  await store.insert('messages', [content(said), content('q'), content('the answer')], 'contents');
  const call = (run: string, at: number, model: string, facts: Record<string, string> = {}) =>
    spanRow({
      loop: 'calls',
      run,
      record: 'call',
      at,
      agent: 'maker',
      role: 'maker',
      attributes: {
        [A.provider]: 'openai',
        [A.requestModel]: model,
        [A.inputMessageHashes]: JSON.stringify([contentHash(said), contentHash('gone')]),
        [A.inputTextHash]: contentHash('q'),
        [A.outputTextHash]: contentHash('the answer'),
        ...facts,
      },
    });
  await insertSpans(store, [
    call('run-1', T0, 'm-old'),
    call('run-2', T0 + 1_000, 'm-first', { [A.requestTemperature]: '0.2', [A.requestMaxTokens]: '64' }),
    call('run-2', T0 + 2_000, 'm-second'),
    call('', T0 + 9_000, 'm-probe', { [A.probe]: 'true', [A.probeRunId]: 'probe-1' }),
  ]);
  assert.deepEqual(await newestFirstCall(store, { loop: 'calls', agent: 'maker' }), {
    runId: 'run-2',
    provider: 'openai',
    model: 'm-first',
    responseId: '',
    toolsVersion: '',
    promptVersion: '',
    maxTokens: 64,
    temperature: 0.2,
    topP: null,
    seed: null,
    messages: [said, undefined],
    makerInput: 'q',
    makerOutput: 'the answer',
  });
  assert.equal(await newestFirstCall(store, { loop: 'calls', agent: 'nobody' }), undefined);
});
