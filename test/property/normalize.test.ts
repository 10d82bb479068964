import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { normalizeText } from '../../src/records/normalize.ts';

const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_127);

test('a normal text is what its definition says, and normal already', () => {
  const words = fc.constantFrom('a', 'Zwei', 'é', 'e\u0301', '\u1e9b\u0323', '한', '🦔', '\u007f', '\u0000');
  const gaps = fc.constantFrom(' ', '  ', '\n', '\t ', '\r\n', '\u00a0', '\u2003', '\ufeff', '\u2028', '');
  const texts = fc.array(fc.oneof(words, gaps), { maxLength: 40 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.oneof(texts, fc.string({ unit: 'binary' })), (text) => {
      const normal = normalizeText(text);
      assert.equal(normal, text.normalize('NFC').replace(/\s+/g, ' ').trim());
      assert.equal(normalizeText(normal), normal);
    }),
    { seed: SEED, numRuns: 5_000 },
  );
});
