import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { nodeFiles } from '../../src/spool/files.ts';
import { SEED } from '../support/campaign.ts';
import { startTestCollector } from '../support/collector.ts';
import { Ledger } from '../support/ledger.ts';
import { standBy } from '../support/mortal-process.ts';
import { hastyClock, temporaryFolder } from '../support/spool.ts';
import { CHANGES, type End, failingAt } from '../support/steps.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/**
 * The collector with a ClickHouse, over HTTP: its process is killed around, or its disk fails at, operations that change
 * the disk, from the start to the end of a small piece of work: segments are few kilobytes. `LOOPSCOPE_LONG=1` takes every
 * operation, else it is every fifth from one that `LOOPSCOPE_SEED` chooses: each is a process, or a start, of its own, and
 * there are more of them the busier the machine is. All of them, over a disk in memory: spool-lives.test.ts.
 */
const IS_LONG = process.env['LOOPSCOPE_LONG'] === '1';
const STRIDE = IS_LONG ? 1 : 5;
const FIRST = 1 + (SEED % STRIDE);
const REQUESTS = 8;
const SMALL_SPOOL_BYTES = 30_000;
const names = Array.from({ length: REQUESTS }, (_, i) => `request-${i}`);
const temporary = temporaryFolder();
let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  clickhouse = await startTestStore();
});
after(async () => {
  await clickhouse?.close();
  temporary.remove();
});

function newFolder(name: string): string {
  const folder = join(temporary.path, name);
  mkdirSync(folder);
  return folder;
}

/** Works until `end` kills it; gives the operation it was killed at, `undefined` when all was done before. */
async function workUntil(
  end: End,
  folder: string,
  ledger: (url: () => string) => Ledger,
): Promise<string | undefined> {
  const settings = { clickhouseUrl: clickhouse.url, folder, port: 0, bytesMax: SMALL_SPOOL_BYTES, end };
  const child = await standBy('collector-child.ts', settings);
  let dead = false;
  child.exited.then(() => {
    dead = true;
  });
  const first = await child.start();
  if (!first?.startsWith('http')) {
    await child.exited;
    return first;
  }
  const work = ledger(() => first);
  for (let i = 0; i < REQUESTS && !dead; i += 2)
    await Promise.all(names.slice(i, i + 2).map((name) => work.try(name)));
  if (!dead) await Promise.race([child.exited, work.delivered().catch(() => {})]);
  // What is delivered is removed after that; the segment being written stays.
  const segments = () => readdirSync(folder).filter((name) => name.endsWith('.seg'));
  await until('removal of what is delivered', () => dead || segments().length <= 1);
  if (!dead) child.process.kill('SIGKILL');
  await child.exited;
  return child.lastLine();
}

for (const moment of ['before', 'after'] as const)
  test(`a collector killed ${moment} any operation on disk loses and doubles nothing`, async () => {
    const seen = new Set<string>();
    const ledgers: Ledger[] = [];
    let at = FIRST - STRIDE;
    let finished = false;
    let survivors = 0;
    const worker = async () => {
      while (!finished) {
        at += STRIDE;
        const end = { at, moment };
        const folder = newFolder(`${moment}-${end.at}`);
        let url = () => '';
        const ledger = new Ledger(`${moment}-${end.at}`, () => url());
        ledgers.push(ledger);
        const endedAt = await workUntil(end, folder, (itsUrl) => {
          url = itsUrl;
          return ledger;
        });
        // One may have had fewer operations to do than another: who sends together is committed together.
        if (endedAt === undefined) finished = ++survivors >= 3;
        else seen.add(endedAt.replace('ended at ', ''));
        const collector = await startTestCollector({ store: clickhouse.store, folder });
        url = () => collector.url;
        for (const name of names) await ledger.send(name);
        await collector.flush();
        await collector.close();
      }
    };
    await Promise.all([worker(), worker()]);
    for (const ledger of ledgers) await ledger.settle(clickhouse.store, ledger.loop);
    const kinds = IS_LONG ? CHANGES.filter((change) => change !== 'truncate') : ['write', 'datasync'];
    const missed = kinds.filter((kind) => !seen.has(kind));
    assert.deepEqual(missed, [], `it was not killed at ${missed}`);
  });

for (const code of ['EIO', 'ENOSPC'] as const)
  for (const times of [1, 2, 5])
    test(`${code}, ${times} in a row from any operation on disk on, is a 503 or an acknowledgement that holds`, async () => {
      for (let at = FIRST, failed = 1; failed > 0; at += STRIDE) {
        failed = 0;
        const files = failingAt(nodeFiles, { at, times, code }, () => {
          failed++;
        });
        const folder = newFolder(`${code}-${times}-${at}`);
        const loop = `${code}-${times}-${at}`;
        let collector: Collector | undefined;
        // A start fails as a whole, and can be repeated.
        await until('it starts', async () => {
          collector = await startTestCollector({
            store: clickhouse.store,
            folder,
            files,
            clock: hastyClock(),
          });
          return true;
        });
        const ledger = new Ledger(loop, () => collector!.url);
        for (let i = 0; i < REQUESTS; i += 2)
          await Promise.all(names.slice(i, i + 2).map((name) => ledger.send(name)));
        await collector!.flush();
        await collector!.close();
        await ledger.settle(clickhouse.store, `${loop}: ${failed} failed`);
      }
    });
