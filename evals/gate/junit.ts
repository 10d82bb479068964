import type { Comparison } from './compare.ts';

/**
 * A comparison as a JUnit file, a test case an item and one for the whole. The file is red exactly when the gate is
 * closed: where it is open, an item that fell is told in `system-out` and is no failure, since items fall by chance.
 */
export interface Report {
  suite: string;
  /** Why the gate is closed; empty where it is open. */
  refusals: readonly string[];
  comparison: Comparison;
}

/** Cases for single items; a reader of more is no person. */
const CASES_MAX = 5_000;

export function junit({ suite, refusals, comparison }: Report): string {
  const { verdict, fell, rose, failed, missing } = comparison;
  const isClosed = refusals.length > 0;
  const told = (change: { before: number; now: number; reason: string }) =>
    `${change.before} before, ${change.now} now${change.reason ? `: ${change.reason}` : ''}`;
  const cases = [
    testCase(
      suite,
      'gate',
      isClosed ? element('failure', { message: refusals.join('; '), type: verdict }) : '',
    ),
    ...failed.map(({ item, error }) =>
      testCase(suite, item, isClosed ? element('error', { message: error, type: 'not_scored' }) : out(error)),
    ),
    ...missing.map((item) =>
      testCase(
        suite,
        item,
        isClosed ? element('error', { message: 'not answered', type: 'missing' }) : out('not answered'),
      ),
    ),
    ...fell.map((change) =>
      testCase(
        suite,
        change.item,
        verdict === 'regressed' && isClosed
          ? element('failure', { message: told(change), type: 'fell' })
          : out(told(change)),
      ),
    ),
    ...rose.map((change) => testCase(suite, change.item, out(told(change)))),
  ];
  const shown = cases.slice(0, CASES_MAX + 1);
  const failures = shown.filter((one) => one.includes('<failure ')).length;
  const errors = shown.filter((one) => one.includes('<error ')).length;
  const counts = { name: suite, tests: shown.length, failures, errors };
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes(counts)}>`,
    `<testsuite ${attributes(counts)}>`,
    ...shown,
    '</testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

const testCase = (suite: string, name: string, content: string) =>
  `<testcase ${attributes({ classname: suite, name })}>${content}</testcase>`;

const element = (name: string, fields: Record<string, string>) => `<${name} ${attributes(fields)}/>`;

const out = (text: string) => `<system-out>${escaped(text)}</system-out>`;

const attributes = (fields: Record<string, string | number>) =>
  Object.entries(fields)
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(' ');

const ENTITIES: Record<string, string> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  '"': '&quot;',
  "'": '&apos;',
};

/** XML 1.0 has no place for most control characters, lone surrogates and two non-characters, escaped or not. */
const UNSPEAKABLE = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

const escaped = (text: string) =>
  text
    .replace(UNSPEAKABLE, '\ufffd')
    .replace(/[<>&"']/g, (character) => ENTITIES[character]!)
    .replace(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
