import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentHash } from '../../src/records/normalize.ts';
import { historyHasher } from '../../src/replay/play/history-hash.ts';
import { normaliser, type Unit } from '../../src/replay/play/normalise.ts';
import type { Message } from '../../src/replay/recording.ts';
import { asks, text, toolCall, toolResult } from '../support/replay.ts';

/** The hash of a history is that of all it says, however much of it was hashed before, and by which way. */
const { unitsOf } = normaliser();

/** As the hash is meant: from the beginning, every time. */
function naive(units: readonly Unit[]): string {
  const names = new Map<string, number>();
  let hash = '';
  for (const unit of units) {
    for (const value of unit.volatile) if (!names.has(value)) names.set(value, names.size);
    hash = contentHash(`${hash} ${unit.hash} ${unit.volatile.map((value) => names.get(value)).join(' ')}`);
  }
  return hash;
}

const id = fc.constantFrom('call_1', 'call_2', 'call_3', 'call_4');
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.constantFrom('a', 'b').map((content) => text('user', content)),
  id.map((call) => asks(toolCall(call, 'f', '{}'))),
  id.map((call) => toolResult(call, 'done')),
);

test('a history’s hash is the same however it was come to', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 12 }),
      fc.array(fc.array(fc.nat(11), { maxLength: 10 }), { maxLength: 12 }),
      (pool, histories) => {
        const hash = historyHasher(unitsOf);
        for (const history of histories) {
          const messages = history.map((i) => pool[i % pool.length]!);
          assert.equal(hash(messages), naive(messages.flatMap(unitsOf)));
        }
      },
    ),
  );
});
