import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { KillFile } from '../../src/gateway/limits/kill-file.ts';
import { MovedClock, START_MS } from '../support/limits.ts';
import { until } from '../support/until.ts';

/** The file that has what is killed where there is no Redis. */
let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'loopscope-kills-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('what one writes another reads, for ever or until a time, and no draft or lock stays', async () => {
  const at = join(folder, 'made', 'when needed');
  const [one, other] = [new KillFile(at, systemClock()), new KillFile(at, systemClock())];
  assert.deepEqual(await one.read(), new Map());
  const version = await one.version();
  await one.change((kills) => kills.set('primes', Number.POSITIVE_INFINITY));
  await other.change((kills) => kills.set('primes/r-1:a', START_MS));
  const both = [
    ['primes', Number.POSITIVE_INFINITY],
    ['primes/r-1:a', START_MS],
  ] as const;
  assert.deepEqual([...(await one.read())], both);
  assert.notEqual(await one.version(), version);
  assert.deepEqual(readdirSync(at), ['kills.json']);
});

test('changes at once are all made', async () => {
  const at = join(folder, 'at-once');
  const names = Array.from({ length: 30 }, (_, i) => `loop-${i}`);
  await Promise.all(
    names.map((name) => new KillFile(at, systemClock()).change((kills) => kills.set(name, START_MS))),
  );
  assert.deepEqual([...(await new KillFile(at, systemClock()).read()).keys()].sort(), names.sort());
});

test('a change that cannot be made leaves the file as it was, and free', async () => {
  const at = join(folder, 'refused');
  const file = new KillFile(at, systemClock());
  await file.change((kills) => kills.set('primes', START_MS));
  const version = await file.version();
  await assert.rejects(
    file.change(() => {
      throw new Error('full');
    }),
    /full/,
  );
  assert.equal(await file.version(), version);
  assert.deepEqual(readdirSync(at), ['kills.json']);
});

test('the lock of a process that died is not waited for for ever', async () => {
  const at = join(folder, 'locked');
  await new KillFile(at, systemClock()).change(() => {});
  writeFileSync(join(at, 'kills.json.lock'), '');
  const clock = new MovedClock(START_MS);
  const file = new KillFile(at, clock);
  let isMade = false;
  const changed = file
    .change((kills) => kills.set('primes', START_MS))
    .then(() => {
      isMade = true;
    });
  await until('the lock to be broken', async () => {
    await clock.pass(1_000);
    return isMade;
  });
  await changed;
  assert.deepEqual([...(await file.read()).keys()], ['primes']);
});

test('a file that is none of ours is named, with what is wrong', async () => {
  const at = join(folder, 'damaged');
  const file = new KillFile(at, systemClock());
  await file.change(() => {});
  for (const text of ['', '[]', '{"kills":[{"loop":""}]}', '{"kills":[{"loop":"a","untill":"x"}]}']) {
    writeFileSync(join(at, 'kills.json'), text);
    await assert.rejects(file.read(), { code: 'config_invalid', message: /damaged.kills\.json: expected/ });
    await assert.rejects(
      file.change(() => {}),
      { code: 'config_invalid' },
    );
  }
});
