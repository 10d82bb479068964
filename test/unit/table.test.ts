import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOutput } from '../../src/cli/output.ts';
import { displayWidth, printable, table } from '../../src/cli/table.ts';
import { buffer } from '../support/cli.ts';

const plain = (_style: unknown, text: string) => text;

test('columns line up, numbers to the right, whatever the width of the characters', () => {
  const rows = [
    { name: 'a', n: '7' },
    { name: '東京', n: '12,345' },
    { name: 'é́', n: '' },
  ];
  const lines = table(
    plain,
    [
      { header: 'name', cell: (r) => r.name },
      { header: 'n', align: 'right', cell: (r) => r.n },
    ],
    rows,
  );
  assert.deepEqual(lines, ['name       n', 'a          7', '東京  12,345', 'é́']);
});

test('combining marks take no column and wide characters two', () => {
  assert.equal(displayWidth('e\u0301'), 1);
  assert.equal(displayWidth('漢字'), 4);
  assert.equal(displayWidth('🙂'), 2);
  assert.equal(displayWidth('└─ x'), 4);
});

test('a name from a stranger cannot steer the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\r\nc\u202ed'), 'a\ufffd[2Jb\ufffd\ufffdc\ufffdd');
  const [, line] = table(plain, [{ header: 'h', cell: () => '\u001b]0;owned\u0007' }], [0]);
  assert.equal(line, '\ufffd]0;owned\ufffd');
});

test('colours are for terminals, and only where they are wanted', () => {
  const painted = (isTTY: boolean, wanted: boolean) =>
    createOutput(buffer(isTTY), buffer(), () => wanted).paint('red', 'x');
  assert.equal(painted(true, true), '\u001b[31mx\u001b[39m');
  assert.equal(painted(true, false), 'x');
  assert.equal(painted(false, true), 'x');
});

test('progress shows on a terminal only, and gives way to the answer', () => {
  const terminal = buffer(true);
  const stdout = buffer(true);
  const out = createOutput(stdout, terminal, () => false);
  out.progress('1 of 2');
  out.progress('2 of 2');
  out.line('done');
  assert.equal(terminal.text(), '1 of 2\r\u001b[2K2 of 2\r\u001b[2K');
  const pipe = buffer();
  createOutput(stdout, pipe, () => false).progress('1 of 2');
  assert.equal(pipe.text(), '');
});

test('a reader who has read enough is no failure, any other trouble with stdout is', () => {
  const stdout = buffer();
  createOutput(stdout, buffer(), () => false);
  stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  assert.throws(() => stdout.emit('error', Object.assign(new Error('full'), { code: 'ENOSPC' })), /full/);
});
