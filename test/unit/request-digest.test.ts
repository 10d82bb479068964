import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../collector/digest.ts';
import { seededRandom } from '../../src/clock.ts';

const SIZES = [0, 1, 1_000, 16_383, 16_384, 16_385, 400_000];

test('a request is known again by its bytes and its signal, whatever its size', () => {
  const random = seededRandom(7);
  for (const size of SIZES) {
    const body = Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
    const digest = digestOf('traces', body);
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.equal(digestOf('traces', Buffer.from(body)), digest);
    assert.notEqual(digestOf('logs', body), digest);
    assert.notEqual(digestOf('traces', Buffer.concat([body, Buffer.alloc(1)])), digest);
    for (let i = 0; i < Math.min(size, 200); i++) {
      const at = Math.floor(random() * size);
      body[at]! ^= 1 << (i % 8);
      assert.notEqual(digestOf('traces', body), digest, `bit ${i % 8} of byte ${at} of ${size}`);
      body[at]! ^= 1 << (i % 8);
    }
  }
});

test('the digests of a spool are known to the process after a restart, and to the next release', () => {
  const zeros = (size: number) => digestOf('traces', Buffer.alloc(size));
  assert.equal(zeros(3), '581f16999753631f4e2f97525d3aa4f8e94ff37e475246de2bced02b8267622a');
  assert.equal(zeros(20_000), '46d5f2c9d645319692c827131aa23f0a00000000000000000000000000000000');
});
