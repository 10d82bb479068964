import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { cassetteLines } from '../../src/replay/record/cassette-write.ts';
import { type ChatMessage, chatToRecording } from '../../src/replay/record/chat-import.ts';
import { importRecordings } from '../../src/replay/record/import.ts';
import { runTraceId } from '../../src/span/ids.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

const conversation = (seat: string): ChatMessage[] => [
  { role: 'system', content: 'You book flights.' },
  { role: 'user', content: 'One to Seattle, please.' },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_1', function: { name: 'book', arguments: '{"to":"SEA"}' } }],
  },
  { role: 'tool', tool_call_id: 'call_1', content: JSON.stringify({ ok: true, seat }) },
  { role: 'assistant', content: `Booked, seat ${seat}.` },
];
const LOOP = 'diff-cli';
const run = (name: string, seat: string) => chatToRecording(conversation(seat), { loop: LOOP, run: name });

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({ store: clickhouse.store });
  const recordings = [run('r-1', '4A'), run('r-2', '4A'), run('r-3', '\u001b[2J9F')];
  await importRecordings(recordings, { collectorUrl: collector.url, clock: systemClock() });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const diff = (...args: string[]) =>
  runCli(['diff', ...args], { env: { LOOPSCOPE_CLICKHOUSE_URL: clickhouse.url } });

test('runs that are alike end with 0, and say so', async () => {
  const { code, stdout } = await diff('r-1', 'r-2');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /Alike: 3 steps/);
});

test('runs that differ end with 1, and show where they first do, without steering the terminal', async () => {
  const { code, stdout, stderr } = await diff('r-1', 'r-3', '--loop', LOOP);
  assert.equal(code, 1, stderr);
  assert.match(
    stdout,
    /They differ first at step 2 \(maker: tool book\)\. An agent first did something else at step 3/,
  );
  assert.match(stdout, /▶ {2}2 {2}maker: tool book: changed\n {3}result:\n {5}\$\.seat: "4A" → "/);
  assert.match(stdout, /output: Booked, seat \[-4A-\]\{\+.*9F\+\}\./);
  assert.ok(!stdout.includes('\u001b'));
});

test('--json is one document, in which a trace id is as good as a run', async () => {
  const { code, stdout } = await diff('r-1', runTraceId(LOOP, 'r-3'), '--json');
  assert.equal(code, 1);
  const document = JSON.parse(stdout);
  assert.deepEqual([document.a.run, document.b.run, document.alike], ['r-1', 'r-3', false]);
  assert.equal(document.first_divergence, 1);
  assert.equal(document.first_action, 2);
  const { outcome, a, b, kind, name, agents, differences } = document.steps[1];
  assert.deepEqual(
    [outcome, a.step, b.step, kind, name, agents],
    ['changed', 1, 1, 'tool', 'book', ['maker']],
  );
  assert.deepEqual(
    differences.map((each: { field: string; change: { entries: { path: string }[] } }) => [
      each.field,
      each.change.entries.map(({ path }) => path),
    ]),
    [['result', ['$.seat']]],
  );
});

test('--html writes one file beside what is printed', () =>
  inFolder(async (folder) => {
    const file = join(folder, 'incident.html');
    const { code, stdout } = await diff('r-1', 'r-3', '--html', file);
    assert.equal(code, 1);
    assert.match(stdout, /They differ first/);
    assert.match(readFileSync(file, 'utf8'), /^<!doctype html>.*first divergence/s);
  }));

test('cassettes are compared with nothing running', () =>
  inFolder(async (folder) => {
    const file = join(folder, 'incident.jsonl');
    writeFileSync(file, [...cassetteLines([run('r-1', '4A'), run('r-2', '9F')])].join(''));
    const offline = (...args: string[]) =>
      runCli(['diff', ...args], { env: { LOOPSCOPE_CLICKHOUSE_URL: 'http://127.0.0.1:9' } });
    const { code, stdout, stderr } = await offline(`${file}#r-1`, `${file}#r-2`);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /\$\.seat: "4A" → "9F"/);
    const several = await offline(file, `${file}#r-2`);
    assert.equal(several.code, 2);
    assert.match(several.stderr, /has several runs: diff-cli r-1, diff-cli r-2\. Say which/);
    assert.match((await offline(`${file}#r-7`, file)).stderr, /has no such run\. It has: diff-cli r-1/);
  }));

test('more may be said to be volatile', async () => {
  const { code, stdout } = await diff('r-1', 'r-3', '--rule', 'seat=[^" ]*[49][AF]');
  assert.equal(code, 0, stdout);
  assert.equal((await diff('r-1', 'r-3', '--rule', 'seat=[^" ]*[49][AF]', '--all')).code, 1);
});

test('what is not there, and a rule that is none, is said', async () => {
  const missing = await diff('r-1', 'r-9');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no run, replay, trace or file "r-9"/);
  assert.equal((await diff('r-1', 'r-2', '--loop', 'another')).code, 1);
  const rule = await diff('r-1', 'r-2', '--rule', 'nothing');
  assert.equal(rule.code, 2);
  assert.match(rule.stderr, /--rule: expected NAME=REGEX/);
  await inFolder(async (folder) => {
    writeFileSync(join(folder, 'file'), '');
    const unwritable = await diff('r-1', 'r-2', '--html', join(folder, 'file', 'x.html'));
    assert.equal(unwritable.code, 1);
    assert.match(unwritable.stderr, /--html: cannot write/);
  });
});
