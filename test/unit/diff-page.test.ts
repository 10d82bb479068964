import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffRecordings } from '../../src/replay/diff/diff.ts';
import type { Piece } from '../../src/replay/diff/difference.ts';
import { excerpt } from '../../src/replay/diff/excerpt.ts';
import { html } from '../../src/replay/diff/html/markup.ts';
import { diffPage } from '../../src/replay/diff/html/page.ts';
import { recording, tool } from '../support/recordings.ts';

test('a page is bounded, and every step that differs is on it', () => {
  const steps = 600;
  const of = (letter: string) =>
    recording(Array.from({ length: steps }, (_, i) => tool({ result: `${i} ${letter.repeat(40_000)}` })));
  const page = diffPage(diffRecordings(of('a'), of('b')));
  assert.ok(page.length < 9_000_000, String(page.length));
  assert.equal(page.match(/maker: tool search <span class="tag changed">/g)?.length, steps);
  assert.match(page, /too much to show here/);
  assert.match(page, /… 20000 characters …/);
});

test('text in markup is escaped, and what is not seen is shown', () => {
  assert.equal(html`<b>${'<i>&"\''}</b>`.text, '<b>&lt;i&gt;&amp;&quot;&#39;</b>');
  assert.equal(
    html`${'a\u202eb\u0000\n'}`.text,
    'a<span class="unseen">U+202E</span>b<span class="unseen">U+0000</span>\n',
  );
  assert.equal(html`${[html`<i>${'<'}</i>`]}`.text, '<i>&lt;</i>');
});

test('an excerpt keeps what stands around changes, and says what it left out', () => {
  const pieces: Piece[] = [
    ['=', 'x'.repeat(100)],
    ['-', 'gone'],
    ['=', 'y'.repeat(100)],
    ['+', 'z'.repeat(50)],
    ['=', ' and '],
    ['-', 'more'],
  ];
  assert.deepEqual(excerpt(pieces, { around: 3, alone: 10, changes: 2 }), [
    ['…', 97],
    ['=', 'xxx'],
    ['-', 'gone'],
    ['=', 'yyy'],
    ['…', 94],
    ['=', 'yyy'],
    ['+', 'z'.repeat(10)],
    ['…', 40],
    ['=', ' and '],
    ['more', 1],
  ]);
});
