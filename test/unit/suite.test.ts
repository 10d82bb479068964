import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadSuites, openSuites } from '../../evals/suite.ts';
import { LoopscopeError } from '../../src/errors.ts';

function folder(t: TestContext, files: Record<string, string>) {
  const directory = mkdtempSync(join(tmpdir(), 'loopscope-suites-'));
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'suites'));
  const write = (file: string, text: string) => writeFileSync(join(directory, 'suites', file), text);
  for (const [file, text] of Object.entries(files)) write(file, text);
  return { directory, write, remove: (file: string) => unlinkSync(join(directory, 'suites', file)) };
}

const suite = (name: string, more = '') => `suite: ${name}\nloop: l\ndataset: d\n${more}`;

test('suites are read with their defaults, and no folder is no suites', (t) => {
  const { directory } = folder(t, {
    'a.yaml': suite('a'),
    'b.yml': suite('b', 'scorer: exact\n'),
    'c.txt': 'x',
  });
  const [a, b, ...rest] = loadSuites(directory);
  assert.equal(rest.length, 0);
  assert.equal(a!.scorer, 'text');
  assert.equal(a!.schedule, '*/15 * * * *');
  assert.equal(a!.sample.runs_per_day, 200);
  assert.equal(a!.detector.arl, 10_000);
  assert.equal(a!.directory, join(directory, 'suites'));
  assert.equal(b!.scorer, 'exact');
  assert.deepEqual(loadSuites(join(directory, 'elsewhere')), []);
});

test('two suites of one name are refused, naming both files', (t) => {
  const { directory } = folder(t, { 'a.yaml': suite('same'), 'b.yaml': suite('same') });
  assert.throws(
    () => loadSuites(directory),
    (error) =>
      error instanceof LoopscopeError &&
      error.code === 'config_invalid' &&
      /a\.yaml/.test(error.message) &&
      /b\.yaml/.test(error.message),
  );
});

test('a wrong suite names file, line and field', (t) => {
  const { directory } = folder(t, {
    'a.yaml': suite('a', 'schedule: "61 * * * *"\n'),
    'b.yaml': suite('b', 'timezone: Mars/Olympus\n'),
  });
  assert.throws(
    () => loadSuites(directory),
    /a\.yaml:4: schedule: [\s\S]*b\.yaml:4: timezone: expected a time zone/,
  );
});

test('suites change with their files, and stay as they were while those are wrong', (t) => {
  const { directory, write, remove } = folder(t, { 'a.yaml': suite('a') });
  const book = openSuites(directory);
  const names = () => book.current().map((s) => s.suite);
  write('b.yaml', suite('b'));
  assert.deepEqual(names(), ['a', 'b']);
  write('b.yaml', 'suite: b\nlop: l\n');
  assert.deepEqual(names(), ['a', 'b']);
  assert.match(book.complaint()!, /b\.yaml:2: lop/);
  remove('b.yaml');
  assert.deepEqual(names(), ['a']);
  assert.equal(book.complaint(), undefined);
});
