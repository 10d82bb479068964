import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { readCassette } from '../../src/replay/record/cassette-read.ts';
import { loadRecording } from '../../src/replay/record/load.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({ store: clickhouse.store });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const cli = (folder: string, ...argv: string[]) =>
  runCli(argv, {
    env: {
      LOOPSCOPE_CLICKHOUSE_URL: clickhouse.url,
      LOOPSCOPE_COLLECTOR_URL: collector.url,
      LOOPSCOPE_DATA_DIR: folder,
    },
  });

const TRAJECTORY = {
  task_id: 3,
  trial: 1,
  reward: 1,
  traj: [
    { role: 'system', content: 'Help.' },
    { role: 'user', content: 'I am ann@example.com' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        {
          id: 'call_1',
          type: 'function',
          function: { name: 'find', arguments: '{"mail":"ann@example.com"}' },
        },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', name: 'find', content: 'found' },
    { role: 'assistant', content: 'You are there.' },
  ],
};

test('trajectories become runs, a run becomes a cassette without secrets, and that a run of another loop', () =>
  inFolder(async (folder) => {
    const trajectories = join(folder, 'trajectories.json');
    const cassette = join(folder, 'bug.cassette');
    writeFileSync(trajectories, JSON.stringify([TRAJECTORY]));

    const imported = await cli(
      folder,
      'record',
      'import',
      trajectories,
      '--loop',
      'air',
      '--model',
      'm',
      '--json',
    );
    assert.equal(imported.code, 0, imported.stderr);
    assert.deepEqual(JSON.parse(imported.stdout), { runs: [{ loop: 'air', run: '3-1' }], steps: 3 });

    const exported = await cli(
      folder,
      'record',
      'export',
      '3-1',
      '--loop',
      'air',
      '--rule',
      'who=You',
      '--out',
      cassette,
      '--json',
    );
    assert.equal(exported.code, 0, exported.stderr);
    assert.deepEqual(JSON.parse(exported.stdout).replaced, [
      { kind: 'mail', secrets: 1 },
      { kind: 'who', secrets: 1 },
    ]);
    const text = readFileSync(cassette, 'utf8');
    assert.ok(!text.includes('ann@') && text.includes('mail-1@redacted.invalid'));

    const plain = await cli(folder, 'record', 'export', '3-1', '--loop', 'air', '--no-redact');
    assert.equal(plain.code, 0, plain.stderr);
    assert.ok(plain.stdout.includes('ann@example.com'));
    assert.match(plain.stderr, /Nothing was redacted/);

    const again = await cli(folder, 'record', 'import', cassette, '--loop', 'elsewhere');
    assert.equal(again.code, 0, again.stderr);
    const loaded = await loadRecording(clickhouse.store, { loop: 'elsewhere', runId: '3-1' });
    const [written] = await readCassette(cassette);
    assert.deepEqual(loaded, { ...written, loop: 'elsewhere', traceId: loaded!.traceId });
    assert.equal(loaded!.goldenScore, 1);
  }));

test('a run that the loop had itself is not imported over, and wrong use says what is expected', () =>
  inFolder(async (folder) => {
    const records = join(folder, 'runs.jsonl');
    const trajectories = join(folder, 'trajectories.json');
    const bad = join(folder, 'bad.json');
    writeFileSync(
      records,
      JSON.stringify({ loop: 'own', run: '3-1', ts: '2025-01-01T00:00:00Z', output: 'x' }),
    );
    writeFileSync(trajectories, JSON.stringify([TRAJECTORY]));
    writeFileSync(bad, JSON.stringify([TRAJECTORY, TRAJECTORY, { task_id: 1, traj: 'no list' }]));
    assert.equal((await cli(folder, 'import', records)).code, 0);
    for (const [argv, code, said] of [
      [['import', trajectories, '--loop', 'own'], 1, /Loop "own" had a run "3-1" itself/],
      [['import', trajectories], 2, /say which with --loop/],
      [
        ['import', bad, '--loop', 'bad'],
        1,
        /bad\.json\[2\]: traj: [\s\S]*\[1\]: task_id and trial[\s\S]*Nothing of the file was taken/,
      ],
      [['import', join(folder, 'none'), '--loop', 'x'], 1, /cannot be read/],
      [['import', records], 1, /:1: expected a cassette/],
      [['export', 'r-none', '--loop', 'own'], 1, /There is no run/],
      [['export', '3-1', '--rule', 'x'], 2, /expected NAME=REGEX/],
      [['export', '3-1', '--rule', 'x=a*'], 2, /matches nothing at all/],
      [['export', '3-1', '--no-redact', '--rule', 'x=a'], 2, /give one of them/],
      [['export', '3-1', '--json'], 2, /--out FILE/],
    ] as const) {
      const result = await cli(folder, 'record', ...argv);
      assert.match(result.stderr, said, argv.join(' '));
      assert.equal(result.code, code, argv.join(' '));
    }
    assert.equal(await loadRecording(clickhouse.store, { loop: 'bad', runId: '3-1' }), undefined);
  }));
