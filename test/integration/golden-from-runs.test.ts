import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addGolden, importGolden } from '../../evals/golden.ts';
import { candidatesOf } from '../../src/cli/golden-candidates.ts';
import { goldenSession, originTags } from '../../src/cli/golden-session.ts';
import { keysOf } from '../../src/cli/label-keys.ts';
import { createOutput } from '../../src/cli/output.ts';
import { systemClock } from '../../src/clock.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import { appendAlert } from '../../src/store/alerts.ts';
import { loadIndex } from '../../src/store/golden.ts';
import { buffer, runCli } from '../support/cli.ts';
import { startTestStore } from '../support/store.ts';

/** Golden items of runs that happened: what is right is what a person says, at a terminal or in a file. */
const LOOP = 'primes';
const T0 = Date.UTC(2026, 4, 4, 12);
const folder = mkdtempSync(join(tmpdir(), 'loopscope-from-runs-'));
let server: Awaited<ReturnType<typeof startTestStore>>;
let now = T0;
const clock = { ...systemClock(), now: () => ++now };

before(async () => {
  server = await startTestStore();
  await insert('r-1', 'Is 7 prime?', '[Yes]');
  await insert('r-2', 'Is 8 prime?', '[Yes]');
  await insert('r-3', ' Is  7 prime?', '[No]');
  await insert('r-4', undefined, '[No]');
  await insert('r-5', 'Is 9 prime?', undefined);
  await insert('r-6', 'Is 11 prime?\u001b[2J', '[Yes]');
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A run of one call with a system prompt, as the collector stores it; what is `undefined` was not kept. */
async function insert(run: string, asked: string | undefined, answered: string | undefined): Promise<void> {
  const message = (role: string, content: string) =>
    JSON.stringify({ role, parts: [{ type: 'text', content }] });
  const input = asked === undefined ? [] : [message('system', 'Answer.'), message('user', asked)];
  const output = answered === undefined ? [] : [message('assistant', answered)];
  const contents = [...input, ...output, ...(answered === undefined ? [] : [answered])];
  await server.store.insert(
    'messages',
    contents.map((content) => ({ hash: contentHash(content), role: '', content })),
    randomUUID(),
  );
  const TraceId = runTraceId(LOOP, run);
  const hashes = (messages: string[]) => JSON.stringify(messages.map(contentHash));
  const at = T0 + Number(run.slice(2)) * 1000;
  const span = (record: string, attributes: Record<string, string>) => ({
    Timestamp: new Date(at).toISOString(),
    TraceId,
    SpanId: record === 'run' ? runSpanId(TraceId) : recordSpanId(TraceId, record),
    ParentSpanId: record === 'run' ? '' : runSpanId(TraceId),
    SpanName: record,
    SpanKind: 'Internal',
    ServiceName: 'loopscope',
    SpanAttributes: { [A.loop]: LOOP, [A.runId]: run, [A.record]: record, ...attributes },
    Duration: 1_000_000,
    StatusCode: 'Unset',
  });
  await server.store.insert(
    'otel_traces',
    [
      span('call', {
        [A.agentRole]: 'maker',
        [A.agentName]: 'maker',
        [A.requestModel]: 'm',
        ...(input.length > 0 && { [A.inputMessageHashes]: hashes(input) }),
        ...(output.length > 0 && {
          [A.outputMessageHashes]: hashes(output),
          [A.outputTextHash]: contentHash(answered!),
        }),
      }),
      span('run', {}),
    ],
    randomUUID(),
  );
}

async function session(dataset: string, runIds: string[], typed: string) {
  const { candidates, unusable } = await candidatesOf(server.store, { loop: LOOP, runIds, dataset });
  const stdout = buffer();
  async function* input() {
    yield typed;
  }
  const items = await goldenSession({
    out: createOutput(stdout, buffer(true), () => false),
    keys: keysOf(input()),
    candidates,
    tags: (candidate) => originTags(candidate, 'a-1'),
  });
  return { candidates, unusable, items, text: stdout.text() };
}

test('a run becomes a candidate by what its maker was asked, each input once, and only where that was kept', async () => {
  const { candidates, unusable } = await session('none', ['r-1', 'r-3', 'r-4', 'r-5', 'r-9'], 'q');
  assert.deepEqual(
    candidates.map(({ input, output }) => [input, output]),
    [
      ['Is 7 prime?', '[Yes]'],
      ['Is 9 prime?', ''],
    ],
  );
  assert.deepEqual(
    unusable.map(({ runId, why }) => [runId, why]),
    [
      ['r-3', 'it has the same input as r-1'],
      ['r-4', 'what its maker was asked was not kept'],
      ['r-9', 'loop primes has no such run'],
    ],
  );
});

test('at a terminal an answer is right, another one is typed, a run is skipped, and what was said is undone', async () => {
  // r-1 is right; r-2 is skipped, which is undone, and its right answer typed; r-5 has no answer to be right; r-6 is left.
  const { items, text } = await session(
    'typed',
    ['r-1', 'r-2', 'r-5', 'r-6'],
    'ysue[Nope\u007f\u007f]\ryse[Yes]\u001bq',
  );
  assert.deepEqual(
    items.map(({ input, expected }) => [input, expected]),
    [
      ['Is 7 prime?', '[Yes]'],
      ['Is 8 prime?', '[No]'],
    ],
  );
  assert.deepEqual(items[0]!.tags, [
    'tiny, numbers, question',
    'from-runs',
    'loop:primes',
    'run:r-1',
    'alert:a-1',
  ]);
  assert.match(text, /asked\n {2}Is 7 prime\?\n/);
  assert.ok(!text.includes('\u001b[2J'), 'what a run says cannot steer the terminal');
});

test('nothing is right because it is there: without a word nothing becomes an item', async () => {
  for (const typed of ['', 'q', 'sss', 'x\rx', '\u0003'])
    assert.deepEqual((await session('none', ['r-1', 'r-2', 'r-6'], typed)).items, []);
});

test('items are added to those there are; one with the same input takes its place and keeps its id', async () => {
  const file = join(folder, 'v1.jsonl');
  writeFileSync(
    file,
    '{"id":"eight","input":"Is 8 prime?","expected":"[Yes]"}\n{"id":"ten","input":"Is 10 prime?","expected":"[No]"}\n',
  );
  await importGolden({ store: server.store, clock }, { path: file, dataset: 'added' });
  const { items } = await session('added', ['r-1', 'r-2'], 'ye[No]\r');
  const added = await addGolden({ store: server.store, clock }, { dataset: 'added', items });
  assert.deepEqual([added.items, added.added, added.replaced, added.changed], [3, 1, 1, true]);
  const index = await loadIndex(server.store, 'added');
  assert.equal(index?.version, added.version);
  assert.deepEqual(
    [...index!.byItem.values()].map(({ item_id, expected }) => [item_id, expected]).sort(),
    [
      ['eight', '[No]'],
      ['ten', '[No]'],
      [
        index!.byInput.get(
          [...index!.byInput.keys()].find((h) => index!.byInput.get(h)!.input === 'Is 7 prime?')!,
        )!.item_id,
        '[Yes]',
      ],
    ].sort(),
  );
  const again = await addGolden({ store: server.store, clock }, { dataset: 'added', items });
  assert.deepEqual([again.added, again.replaced, again.changed], [0, 0, false]);
});

const cli = (...argv: string[]) => runCli(argv, { env: { LOOPSCOPE_CLICKHOUSE_URL: server.url }, clock });

test('a file for review is refused until each right answer is filled in, and then imported with what was there', async () => {
  await addGolden(
    { store: server.store, clock },
    { dataset: 'reviewed', items: [{ input: 'Is 2 prime?', expected: '[Yes]', tags: ['old'] }] },
  );
  const file = join(folder, 'review.jsonl');
  const written = await cli(
    'golden',
    'from-runs',
    'r-1',
    'r-2',
    'r-4',
    '--loop',
    LOOP,
    '--dataset',
    'reviewed',
    '--review',
    file,
    '--json',
  );
  assert.equal(written.code, 0, written.stderr);
  const { known, to_review, unusable } = JSON.parse(written.stdout);
  assert.deepEqual([known, to_review, unusable.length], [1, 2, 1]);
  const refused = await cli('golden', 'import', file, '--dataset', 'reviewed');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /review\.jsonl:2: expected: expected text.*found null/);
  writeFileSync(
    file,
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => !line.includes('Is 8 prime'))
      .map((line) => line.replace('"expected":null', '"expected":"[Yes]"'))
      .join('\n'),
  );
  const imported = await cli('golden', 'import', file, '--dataset', 'reviewed', '--json');
  assert.equal(JSON.parse(imported.stdout).items, 2, imported.stderr);
  const rows = [...(await loadIndex(server.store, 'reviewed'))!.byItem.values()];
  const made = rows.find(({ input }) => input === 'Is 7 prime?')!;
  assert.equal(made.expected, '[Yes]');
  assert.ok(made.tags.includes('run:r-1'));
  assert.deepEqual(rows.find(({ input }) => input === 'Is 2 prime?')!.tags, ['old']);
  // A file that is there may have been edited.
  const twice = await cli(
    'golden',
    'from-runs',
    'r-1',
    '--loop',
    LOOP,
    '--dataset',
    'reviewed',
    '--review',
    file,
  );
  assert.equal(twice.code, 1);
  assert.match(twice.stderr, /EEXIST/);
});

test('the runs an alert points at are taken; what is not there is told', async () => {
  await appendAlert(server.store, {
    at: T0,
    alert: {
      alert_id: 'a-1',
      loop: LOOP,
      kind: 'golden_drop',
      state: 'firing',
      started_at: new Date(T0).toISOString(),
      change_at: new Date(T0).toISOString(),
      change_at_run: 0,
      resolved_at: null,
      cause: null,
      evidence: { look_at: ['r-2', 'r-6'] },
    },
  });
  const file = join(folder, 'alert.jsonl');
  const { code, stderr } = await cli(
    'golden',
    'from-runs',
    '--alert',
    'a-1',
    '--dataset',
    'of-alert',
    '--review',
    file,
  );
  assert.equal(code, 0, stderr);
  const items = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    items.map(({ input, answered, expected }) => [input, answered, expected]),
    [
      ['Is 8 prime?', '[Yes]', null],
      ['Is 11 prime?\u001b[2J', '[Yes]', null],
    ],
  );
  assert.ok(items.every(({ tags }) => tags.includes('alert:a-1')));
  for (const [args, expected] of [
    [['--alert', 'a-9'], /There is no alert "a-9"/],
    [['r-99'], /There is no run "r-99"/],
    [[], /expected runs, or --alert/],
  ] as const) {
    const refused = await cli(
      'golden',
      'from-runs',
      ...args,
      '--dataset',
      'd',
      '--review',
      join(folder, 'no.jsonl'),
    );
    assert.match(refused.stderr, expected);
    assert.notEqual(refused.code, 0);
  }
  const noTerminal = await cli('golden', 'from-runs', 'r-1', '--dataset', 'd');
  assert.equal(noTerminal.code, 2);
  assert.match(noTerminal.stderr, /--review FILE/);
});
