import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Imports, type ImportsOptions } from '../../collector/imports.ts';
import type { ExportRequest } from '../../collector/receive/options.ts';
import { Traces } from '../../collector/traces.ts';
import { systemClock } from '../../src/clock.ts';

const clock = systemClock();
const request: ExportRequest = {
  signal: 'traces',
  body: Buffer.from('{}'),
  encoding: 'json',
  repeatable: true,
};

/** Imports into a spool that is empty when `flush` says so, before a store that has nothing. */
function importsWith(flush: () => Promise<void>, keep: ImportsOptions['keep']): Imports {
  const traces = new Traces({ clock, capture: () => 'full', findLoop: undefined });
  const spool = { flush, trouble: () => undefined } as unknown as ImportsOptions['spool'];
  const store = { query: async () => [] } as unknown as ImportsOptions['store'];
  return new Imports({ spool, store, clock, traces, keep, onRefused: () => {} });
}

const stored = { kind: 'stored', rejected: 0, message: '' } as const;

test('a bug in an import is no "not now": a sender that comes again for ever would hide it', async () => {
  const imports = importsWith(
    async () => {},
    async () => {
      throw new TypeError('a bug');
    },
  );
  await assert.rejects(imports.take(request), TypeError);
});

test('while ClickHouse is away few imports hold memory, and the others are told to come again', async () => {
  const flushed = Promise.withResolvers<void>();
  const imports = importsWith(
    () => flushed.promise,
    async () => stored,
  );
  const answers = Array.from({ length: 20 }, () => imports.take(request));
  const refused = await Promise.all(answers.slice(4));
  for (const answer of refused) assert.equal(answer.kind === 'refused' && answer.status, 503);
  flushed.resolve();
  for (const answer of answers.slice(0, 4)) assert.deepEqual(await answer, stored);
  assert.deepEqual(await imports.take(request), stored);
});

test('what takes too long is refused, and may come again', async () => {
  const imports = importsWith(
    () => Promise.reject(new DOMException('late', 'TimeoutError')),
    async () => stored,
  );
  const answer = await imports.take(request);
  assert.ok(answer.kind === 'refused' && answer.status === 503 && answer.retryAfterS === 1);
});
