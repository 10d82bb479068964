import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { temporaryFolder } from '../support/spool.ts';
import { type Fate, live } from '../support/spool-lives.ts';
import { CHANGES } from '../support/steps.ts';

/**
 * The spool's process ends around any operation on disk, the power is cut, and both again and again before what was left
 * is dealt with, over a disk that fails now and then. `LOOPSCOPE_LIVES` makes the random part longer, `LOOPSCOPE_SEED` another one.
 */
const RANDOM_CASES = Number(process.env['LOOPSCOPE_LIVES'] ?? 3_000);
const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
const MOMENTS = ['before', 'middle', 'after'] as const;
const AFTERMATHS = ['restart', 'power cut'] as const;
const temporary = temporaryFolder();
after(() => temporary.remove());
const folder = temporary.path;

for (const aftermath of AFTERMATHS)
  test(`a process that ends around any operation on disk, and a ${aftermath}, lose and double nothing`, async () => {
    for (const moment of MOMENTS) {
      const seen = new Set<string>();
      for (let at = 1; ; at++) {
        // A few schedules each: what the deliverer is at when it happens differs.
        const ends = [];
        for (let i = 0; i < 4; i++)
          ends.push(...(await live({ folder, seed: at * 4 + i, fates: [{ at, moment, aftermath }] })));
        for (const end of ends) if (end) seen.add(end);
        if (ends.every((end) => end === undefined)) break;
      }
      const missing = CHANGES.filter((change) => change !== 'truncate' && !seen.has(change));
      assert.deepEqual(missing, [], 'operations that no life ended at');
    }
  });

test(`several ends in a row lose and double nothing (${RANDOM_CASES} cases from seed ${SEED})`, async () => {
  const seen = new Set<string>();
  for (let seed = SEED; seed < SEED + RANDOM_CASES; seed++)
    for (const end of await live({ folder, seed, fates: fatesOf(seed) })) if (end) seen.add(end);
  assert.deepEqual([...seen].sort(), [...CHANGES].sort(), 'lives ended at every kind of operation');
});

for (const lie of ['datasync', 'syncFolder', 'token'] as const)
  test(`these tests would notice the loss of ${lie}`, async () => {
    await assert.rejects(
      async () => {
        for (let seed = 1; seed <= 1_000; seed++) await live({ folder, seed, fates: fatesOf(seed), lie });
      },
      { code: 'ERR_ASSERTION' },
    );
  });

function fatesOf(seed: number): Fate[] {
  const random = seededRandom(seed + 1_000_000);
  const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)]!;
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
    at: 1 + Math.floor(random() ** 2 * (random() < 0.5 ? 12 : 150)),
    moment: pick(MOMENTS),
    aftermath: pick(AFTERMATHS),
    ...(random() < 0.3 && {
      failure: {
        at: 1 + Math.floor(random() ** 2 * 100),
        times: 1 + Math.floor(random() ** 2 * 6),
        code: 'EIO' as const, // for room on a full disk it forgets whom it heard
      },
    }),
  }));
}
