import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { label } from '../../evals/labels/label.ts';
import { keysOf } from '../../src/cli/label-keys.ts';
import { labelSession } from '../../src/cli/label-session.ts';
import { createOutput } from '../../src/cli/output.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { appendDraw } from '../../src/store/label-queue.ts';
import { standingLabels } from '../../src/store/labels.ts';
import { latestRuns } from '../../src/store/runs.ts';
import { buffer, runCli } from '../support/cli.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
const folders: ReturnType<typeof suiteFolder>[] = [];
before(async () => {
  server = await startTestStore();
});
after(async () => {
  await server?.close();
  for (const folder of folders) folder.remove();
});

const clock = systemClock();
const T0 = Date.UTC(2026, 4, 4, 12);

/** A loop with `n` runs that end with a wrong pass, all of which were asked about, the last one first. */
async function asked(loop: string, n: number): Promise<void> {
  const runs = Array.from({ length: n }, (_, i) => ({
    loop,
    run: `r-${i}`,
    at: T0 + i * 1000,
    output: 'no',
    pass: true,
  }));
  await insertRuns(server.store, runs);
  for (const { run, at } of runs)
    await appendDraw(
      server.store,
      { loop, at, budgetLeft: 1, runs: [{ runId: run, probability: 0.5 }] },
      `${loop}/${run}`,
    );
}
const labelsOf = async (loop: string) =>
  (await standingLabels(server.store, { loop }))
    .map((l) => `${l.run_id} ${l.rater} ${l.score}${l.comment && ` ${l.comment}`}`)
    .sort();

async function session(loop: string, rater: string, typed: string, showVerdict = false) {
  const stdout = buffer();
  async function* input() {
    yield typed;
  }
  const result = await labelSession({
    store: server.store,
    clock,
    out: createOutput(stdout, buffer(true), () => false),
    keys: keysOf(input()),
    rater,
    loop,
    showVerdict,
    datasetsOf: () => [],
  });
  return { ...result, text: stdout.text() };
}

test('a session labels runs key by key: passes, tenths, comments, what is skipped and what is undone', async () => {
  await asked('session', 5);
  // r-4 is passed and taken back, and failed with a comment; r-3 gets .7, r-2 is skipped, r-1 is passed; r-0 is left.
  const { text, ...result } = await session('session', 'ann', 'yuxcnot even closE\u007fe\rn7syq');
  assert.deepEqual(result, { labelled: 3, left: 2 });
  assert.deepEqual(await labelsOf('session'), ['r-1 ann 1', 'r-3 ann 0.7', 'r-4 ann 0 not even close']);
  const runs = await latestRuns(server.store, { loop: 'session', limit: 5 });
  assert.deepEqual(
    runs.map((run) => run.goldenScore),
    [0, 0.7, null, 1, null],
  );
  // The verdict is told with the label, and not before.
  assert.ok(text.indexOf('pass (parses)') > text.indexOf('labelled 1'), text);
  assert.match(text, /asked\n {2}not kept/);
  assert.match(text, /answered\n {2}no\n/);
});

test('a session that breaks off has kept what was labelled, and the next one goes on from there', async () => {
  await asked('again', 3);
  assert.equal((await session('again', 'ann', 'y')).labelled, 1);
  const { text, ...next } = await session('again', 'ann', 'uuyy', true);
  assert.deepEqual(next, { labelled: 2, left: 0 });
  assert.deepEqual(await labelsOf('again'), ['r-0 ann 1', 'r-1 ann 1', 'r-2 ann 1']);
  assert.ok(text.indexOf('pass (parses)') < text.indexOf('labelled 1'), text);
  // Another rater is asked for a second opinion, a third one is not.
  assert.equal((await session('again', 'bob', 'nnn')).labelled, 3);
  assert.deepEqual(await session('again', 'eve', 'y'), { labelled: 0, left: 0, text: '' });
});

const cli = (...argv: string[]) => runCli(argv, { env: { LOOPSCOPE_CLICKHOUSE_URL: server.url } });

test('one run is labelled by name, without a terminal', async () => {
  await asked('named', 2);
  const failed = await cli(
    'label',
    'r-1',
    '--loop',
    'named',
    '--score',
    'fail',
    '--rater',
    'ann',
    '--comment',
    'no, 7 is',
    '--json',
  );
  assert.equal(failed.code, 0, failed.stderr);
  const { label: made } = JSON.parse(failed.stdout) as { label: Record<string, unknown> };
  assert.deepEqual(
    { ...made, labelled_at: undefined },
    {
      loop: 'named',
      run: 'r-1',
      rater: 'ann',
      score: 0,
      comment: 'no, 7 is',
      probability: 0.5,
      labelled_at: undefined,
    },
  );
  await cli('label', 'r-0', '--loop', 'named', '--score', '0.8', '--rater', 'bob@example.org');
  assert.deepEqual(await labelsOf('named'), ['r-0 bob@example.org 0.8', 'r-1 ann 0 no, 7 is']);
  const back = await cli('label', 'r-1', '--loop', 'named', '--withdraw', '--rater', 'ann');
  assert.match(back.stdout, /what ann said is taken back/);
  assert.deepEqual(await labelsOf('named'), ['r-0 bob@example.org 0.8']);
});

test('a wrong command line says what is expected and labels nothing', async () => {
  await asked('wrong-1', 1);
  await asked('wrong-2', 1);
  const cases: [RegExp, number, ...string[]][] = [
    [/Several loops have a run "r-0"/, 2, 'r-0', '--score', '1', '--rater', 'ann'],
    [/no run "r-7"/, 1, 'r-7', '--loop', 'wrong-1', '--score', '1', '--rater', 'ann'],
    [/There is no run "nowhere"/, 1, 'nowhere', '--score', '1', '--rater', 'ann'],
    [/Expected pass, fail, or a number/, 2, 'r-0', '--loop', 'wrong-1', '--score', '7', '--rater', 'ann'],
    [/one of --score and --withdraw/, 2, 'r-0', '--loop', 'wrong-1', '--rater', 'ann'],
    [/one of --score and --withdraw/, 2, 'r-0', '--score', '1', '--withdraw', '--rater', 'ann'],
    [
      /--rater: expected the name of a person/,
      2,
      'r-0',
      '--loop',
      'wrong-1',
      '--score',
      '1',
      '--rater',
      'a b',
    ],
    [/takes a terminal/, 2],
    [/are of one run/, 2, '--score', '1'],
  ];
  for (const [message, code, ...argv] of cases) {
    const result = await cli('label', ...argv);
    assert.equal(result.code, code, `${argv.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, message);
  }
  assert.deepEqual([...(await labelsOf('wrong-1')), ...(await labelsOf('wrong-2'))], []);
});

test('the list tells what waits, how far raters agree and on what they differ', async () => {
  await asked('listed', 4);
  const say = (runId: string, rater: string, score: number, comment?: string) =>
    label({ store: server.store, clock }, { loop: 'listed', runId, rater, score, comment });
  await say('r-0', 'ann', 1);
  await say('r-0', 'bob', 1);
  await say('r-1', 'ann', 1);
  await say('r-1', 'bob', 0, 'wrong\u001b[2J');
  await say('r-2', 'ann', 0);
  const { stdout } = await cli('label', 'list', '--loop', 'listed', '--json');
  const list = JSON.parse(stdout);
  assert.equal(list.open, 1);
  assert.deepEqual(
    list.queue.map((e: { run: string; state: string; raters: string[]; probability: number }) => [
      e.run,
      e.state,
      e.raters,
      e.probability,
    ]),
    [
      ['r-3', 'open', [], 0.5],
      ['r-2', 'labelled', ['ann'], 0.5],
      ['r-1', 'labelled', ['ann', 'bob'], 0.5],
      ['r-0', 'labelled', ['ann', 'bob'], 0.5],
    ],
  );
  assert.equal(list.loops.length, 1);
  assert.equal(list.loops[0].labelled, 3);
  assert.deepEqual(list.loops[0].pairs[0].raters, ['ann', 'bob']);
  assert.deepEqual(list.loops[0].pairs[0].agreed, 1);
  assert.deepEqual(
    list.loops[0].disagreements.map((d: { run: string }) => d.run),
    ['r-1'],
  );
  const human = await cli('label', 'list', '--loop', 'listed');
  assert.match(human.stdout, /1 runs? waits? to be judged/);
  assert.match(human.stdout, /ann, bob +2 +50 %/);
  assert.match(human.stdout, /r-1 +ann 1, bob 0 "wrong\ufffd\[2J"/);
  const typo = await cli('label', 'list', '--loop', 'listde');
  assert.equal(typo.code, 1);
  assert.match(typo.stderr, /There is no loop "listde"/);
});

const log = pino({ level: 'silent' });
/** The evals role with `settings` of its own. */
async function start(
  t: TestContext,
  suites: Record<string, string> = {},
  settings: Partial<Config['evals']> = {},
) {
  const folder = suiteFolder(suites);
  folders.push(folder);
  const config = { ...folder.config, evals: { ...folder.config.evals, ...settings } };
  const evals = await startEvals({ config, store: server.store, clock, log });
  t.after(() => evals.close());
  return evals;
}

/** With any header, which `fetch` would not send. */
function call(
  url: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string },
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method, headers: { 'content-length': Buffer.byteLength(body), ...headers } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        answer.on('end', () => resolve({ status: answer.statusCode!, headers: answer.headers, body: text }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  call(`${url}/labels`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

test('by HTTP the queue gives runs with what was said in them, and takes labels', async (t) => {
  await asked('http', 3);
  const evals = await start(t);
  const queue = async (query: string) => {
    const { status, body } = await call(`${evals.url}/labels/queue?${query}`, {});
    assert.equal(status, 200, body);
    return JSON.parse(body) as { waiting: number; runs: Record<string, unknown>[] };
  };
  const { waiting, runs } = await queue('loop=http&limit=1');
  assert.equal(waiting, 3);
  const { asked_at: _, ...shown } = runs[0]!;
  assert.deepEqual(shown, {
    loop: 'http',
    run: 'r-2',
    trace_id: shown['trace_id'],
    started_at: new Date(T0 + 2000).toISOString(),
    served_model: 'm-1',
    input: null,
    output: 'no',
    expected: null,
    cut: [],
    probability: 0.5,
    raters: [],
  });
  const made = await post(evals.url, {
    loop: 'http',
    run: 'r-2',
    rater: 'ann',
    pass: false,
    comment: 'why not',
  });
  assert.equal(made.status, 201, made.body);
  assert.equal(JSON.parse(made.body).label.score, 0);
  assert.equal((await post(evals.url, { loop: 'http', run: 'r-1', rater: 'ann', score: 0.4 })).status, 201);
  assert.equal((await post(evals.url, { loop: 'http', run: 'r-0', rater: 'ann', pass: true })).status, 201);
  assert.equal(
    (await post(evals.url, { loop: 'http', run: 'r-0', rater: 'ann', withdraw: true })).status,
    201,
  );
  assert.deepEqual(await labelsOf('http'), ['r-1 ann 0.4', 'r-2 ann 0 why not']);
  assert.deepEqual(
    (await queue('loop=http&rater=ann')).runs.map((run) => run['run']),
    ['r-0'],
  );
  assert.deepEqual(
    (await queue('loop=http&rater=bob')).runs.map((run) => run['run']),
    ['r-0', 'r-2', 'r-1'],
  );
});

test('what is no label is refused in plain words, counted, and changes nothing', async (t) => {
  await asked('strict', 1);
  const evals = await start(t);
  const good = { loop: 'strict', run: 'r-0', rater: 'ann', score: 1 };
  const cases: [number, string, RegExp, unknown, Record<string, string>?][] = [
    [400, 'bad_input', /^score: /, { ...good, score: 2 }],
    [400, 'bad_input', /one of score, pass and withdraw/, { ...good, score: undefined }],
    [400, 'bad_input', /one of score, pass and withdraw/, { ...good, pass: true }],
    [400, 'bad_input', /stars/, { ...good, stars: 5 }],
    [400, 'bad_input', /^rater: expected the name of a person/, { ...good, rater: 'a\nb' }],
    [400, 'bad_input', /^comment: /, { ...good, comment: 'x'.repeat(2_001) }],
    [400, 'bad_input', /not valid JSON/, '{"loop":'],
    [400, 'bad_input', /JSON/, ''],
    [400, 'bad_input', /./, '{"__proto__": {"loop": "x"}}'],
    [404, 'not_found', /no run "r-9"/, { ...good, run: 'r-9' }],
    [413, 'body_too_large', /16384 bytes/, { ...good, comment: 'x'.repeat(20_000) }],
    [415, 'unsupported_media_type', /application\/json/, good, { 'content-type': 'text/plain' }],
    [
      415,
      'unsupported_media_type',
      /application\/json/,
      'loop=strict',
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    [403, 'loopback_only', /no web pages/, good, { origin: 'https://page.example' }],
    [403, 'loopback_only', /no web pages/, good, { host: 'rebound.example' }],
  ];
  for (const [status, code, message, body, headers] of cases) {
    const answer = await post(evals.url, body, headers);
    assert.equal(answer.status, status, answer.body);
    const { error } = JSON.parse(answer.body) as { error: { code: string; message: string } };
    assert.equal(error.code, code);
    assert.match(error.message, message);
  }
  const asking = await call(`${evals.url}/labels/queue?limit=1000`, {});
  assert.equal(asking.status, 400, asking.body);
  // A page that asks first is never told that it may.
  const preflight = await call(`${evals.url}/labels`, {
    method: 'OPTIONS',
    headers: { origin: 'https://page.example', 'access-control-request-method': 'POST' },
  });
  assert.ok(preflight.status >= 400);
  assert.ok(!Object.keys(preflight.headers).some((header) => header.startsWith('access-control-')));
  assert.deepEqual(await labelsOf('strict'), []);
  const { body: metrics } = await call(`${evals.url}/metrics`, {});
  assert.match(metrics, /loopscope_evals_label_requests_refused_total\{code="bad_input"\} 10\n/);
  assert.match(metrics, /loopscope_evals_label_requests_refused_total\{code="loopback_only"\} 2\n/);
});

test('where a token is set it is asked for, of labels and of nothing else', async (t) => {
  await asked('token', 1);
  const { url } = await start(t, {}, { token_env: 'LABELS_TOKEN', token: 'secret' });
  const body = { loop: 'token', run: 'r-0', rater: 'ann', pass: true };
  const refused = await post(url, body);
  assert.equal(refused.status, 401);
  assert.equal(refused.headers['www-authenticate'], 'Bearer');
  assert.equal((await call(`${url}/labels/queue`, {})).status, 401);
  assert.equal((await call(`${url}/readyz`, {})).status, 200);
  assert.deepEqual(await labelsOf('token'), []);
  assert.equal((await post(url, body, { authorization: 'Bearer secret' })).status, 201);
  assert.deepEqual(await labelsOf('token'), ['r-0 ann 1']);
  await assert.rejects(start(t, {}, { token_env: 'LABELS_TOKEN', token: undefined }), {
    code: 'config_invalid',
  });
});

test('the evals role asks for the labels that a suite wants, and a label is the golden score of its run', async (t) => {
  const loop = 'asking';
  await insertRuns(
    server.store,
    Array.from({ length: 6 }, (_, i) => ({
      loop,
      run: `r-${i}`,
      at: T0 + i * 1000,
      output: 'no',
      pass: true,
    })),
  );
  const evals = await start(t, {
    's.yaml': `suite: asking\nloop: ${loop}\ndataset: none\nlabels: { per_day: 10 }\nschedule: "0 0 1 1 *"\n`,
  });
  await evals.idle();
  const open = await until('the runs to be asked about', async () => {
    const { stdout } = await cli('label', 'list', '--loop', loop, '--json');
    const list = JSON.parse(stdout) as { open: number };
    return list.open === 6 && list;
  });
  assert.equal(open.open, 6);
  await evals.idle();
  assert.equal((await cli('label', 'r-3', '--loop', loop, '--score', 'fail', '--rater', 'ann')).code, 0);
  const { stdout } = await cli('status', '--json');
  const { loops } = JSON.parse(stdout) as {
    loops: { loop: string; golden: { score: number | null; n: number } }[];
  };
  const golden = loops.find((row) => row.loop === loop)?.golden;
  assert.deepEqual([golden?.score, golden?.n], [0, 1]);
  const { body: metrics } = await call(`${evals.url}/metrics`, {});
  assert.match(metrics, /loopscope_evals_label_runs_chosen_total\{loop="asking"\} 6\n/);
});
