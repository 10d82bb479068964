import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Lease, PendingBytes } from '../../collector/receive/pending.ts';
import { seededRandom } from '../../src/clock.ts';

const MAX = 400_000;
const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_123);

test('bodies that come, grow and go in any order stay what they were, and are counted', () => {
  const random = seededRandom(SEED);
  const below = (n: number) => Math.floor(random() * n);
  const pending = new PendingBytes(MAX);
  const open: { lease: Lease; expected: Buffer }[] = [];
  let held = 0;
  let refused = 0;
  for (let step = 0; step < 20_000; step++) {
    const choice = random();
    const one = open[below(open.length)];
    if (!one || choice < 0.1) open.push({ lease: pending.lease(), expected: Buffer.alloc(0) });
    else if (choice < 0.8) {
      const piece = Buffer.alloc(below(random() < 0.1 ? 60_000 : 900), step);
      const fits = held + piece.length <= MAX;
      assert.equal(one.lease.append(piece), fits, `seed ${SEED}, step ${step}`);
      if (!fits) refused++;
      else {
        one.expected = Buffer.concat([one.expected, piece]);
        held += piece.length;
      }
    } else {
      assert.ok(one.lease.body().equals(one.expected), `seed ${SEED}, step ${step}`);
      if (choice < 0.9) continue;
      one.lease.release();
      one.lease.release();
      assert.equal(one.lease.append(Buffer.alloc(1)), false, 'it was given back for good');
      held -= one.expected.length;
      open.splice(open.indexOf(one), 1);
    }
    assert.equal(pending.bytes, held, `seed ${SEED}, step ${step}`);
  }
  assert.ok(refused > 10, `${refused} refused`);
  for (const { lease, expected } of open) assert.ok(lease.body().equals(expected));
});

test('a body of a few bytes takes little more than it is counted for', () => {
  const lease = new PendingBytes(MAX).lease();
  lease.append(Buffer.alloc(1));
  assert.ok(lease.body().buffer.byteLength <= 1024);
});
