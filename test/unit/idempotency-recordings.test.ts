import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../src/clock.ts';
import type { Reader } from '../../src/gateway/idempotency/reader.ts';
import type { AnswerRecorder, Recording } from '../../src/gateway/idempotency/recording.ts';
import { Recordings, type RecordingsOptions } from '../../src/gateway/idempotency/recordings.ts';
import type { ProviderListener } from '../../src/gateway/provider.ts';

const LIFETIME_MS = 1_000;
const origin = { traceId: 't1', spanId: 's1' };

function open(options: Partial<RecordingsOptions> = {}) {
  let nowMs = 0;
  const recordings = new Recordings({
    clock: { ...systemClock(), now: () => nowMs },
    bytesMax: 1_000_000,
    recordingBytesMax: 100_000,
    recordingsMax: 100,
    whenAlone: 'cancel',
    isFinal: (status) => status === 200,
    ...options,
  });
  const begin = (key: string, fingerprint = 'f') =>
    recordings.begin({ key, fingerprint, origin, lifetimeMs: LIFETIME_MS });
  return {
    recordings,
    begin,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** Begins a key that must be new. */
    first: (key: string): AnswerRecorder => {
      const begun = begin(key);
      assert.equal(begun.kind, 'first');
      if (begun.kind !== 'first') throw new Error('unreachable');
      begun.reader.play(heedless);
      return begun.recorder;
    },
    /** Whether a key has a recording that can be played; it is played. */
    has: (key: string): boolean => {
      const begun = begin(key);
      if (begun.kind === 'first') begun.reader.cancel();
      if (begun.kind === 'follow') begun.reader.play(heedless);
      return begun.kind === 'follow';
    },
  };
}

const heedless: ProviderListener = { start: () => {}, data: () => true, end: () => {}, fail: () => {} };

function answer(recorder: AnswerRecorder, { status = 200, bytes = 10 } = {}): void {
  recorder.start(status, '', []);
  recorder.data(Buffer.alloc(bytes));
  recorder.end();
}

test('a key with another request is a mismatch, while in flight and afterwards', () => {
  const { recordings, begin, first } = open();
  const recorder = first('k');
  assert.equal(begin('k', 'other').kind, 'mismatch');
  answer(recorder);
  assert.equal(begin('k', 'other').kind, 'mismatch');
  assert.equal(recordings.begun.mismatch, 2);
});

test('what a repetition would not be answered again is not kept', () => {
  const { recordings, first, has } = open();
  answer(first('unavailable'), { status: 503 });
  assert.equal(has('unavailable'), false);
  const broken = first('broken');
  broken.start(200, '', []);
  broken.data(Buffer.from('half'));
  broken.fail(new Error('cut'));
  assert.equal(has('broken'), false);
  first('empty').end();
  assert.equal(has('empty'), false);
  assert.equal(recordings.dropped.not_final, 1);
  assert.equal(recordings.bytes, 0);
});

test('an answer that is found to be broken is not kept, before it ends and afterwards', () => {
  const { recordings, first, has } = open();
  const before = first('before');
  before.discard();
  answer(before);
  assert.equal(has('before'), false);
  const after = first('after');
  answer(after);
  after.discard();
  after.discard();
  assert.equal(has('after'), false);
  assert.equal(recordings.dropped.discarded, 2);
  assert.equal(recordings.bytes, 0);
});

test('discarding an answer leaves its successor alone', () => {
  const { first, has } = open();
  const failed = first('k');
  failed.fail(new Error('cut'));
  answer(first('k'));
  failed.discard();
  assert.equal(has('k'), true);
});

test('a recording is repeated for its lifetime, counted from when it was whole, and not a moment longer', () => {
  const { recordings, first, has, pass } = open();
  const recorder = first('k');
  pass(5_000);
  answer(recorder);
  pass(LIFETIME_MS - 1);
  assert.equal(has('k'), true);
  pass(1);
  assert.equal(has('k'), false);
  assert.equal(recordings.dropped.expired, 1);
  assert.equal(recordings.bytes, 0);
});

test('what is too old goes when something new comes', () => {
  const { recordings, first, pass } = open();
  for (const key of ['a', 'b', 'c']) answer(first(key));
  pass(LIFETIME_MS);
  answer(first('d'));
  assert.equal(recordings.complete, 1);
  assert.equal(recordings.dropped.expired, 3);
});

test('past the limit on bytes the least recently used go first', () => {
  const { recordings, first, has } = open({ bytesMax: 40_000 });
  for (const key of ['a', 'b', 'c']) answer(first(key), { bytes: 10_000 });
  assert.equal(has('a'), true);
  answer(first('d'), { bytes: 10_000 });
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].filter((key) => has(key)),
    ['a', 'c', 'd'],
  );
  assert.equal(recordings.dropped.evicted, 1);
  assert.ok(recordings.bytes <= 40_000);
});

test('past the limit on their number the least recently used go first', () => {
  const { recordings, first, has } = open({ recordingsMax: 3 });
  for (const key of ['a', 'b', 'c', 'd']) answer(first(key));
  assert.equal(recordings.complete, 3);
  assert.equal(has('a'), false);
});

test('a key in flight is never evicted, however much comes after it', () => {
  const { recordings, begin, first } = open({ bytesMax: 40_000, recordingsMax: 10 });
  const recorder = first('k');
  recorder.start(200, '', []);
  recorder.data(Buffer.alloc(5_000));
  for (let i = 0; i < 50; i++) answer(first(`other ${i}`), { bytes: 10_000 });
  const begun = begin('k');
  assert.equal(begun.kind, 'follow');
  assert.ok(recordings.dropped.evicted > 40);
});

test('a recording that is being read stays until it was read', () => {
  const { recordings, begin, first, has } = open({ recordingsMax: 2 });
  answer(first('k'), { bytes: 7 });
  const reading = begin('k');
  assert.equal(reading.kind, 'follow');
  for (const key of ['a', 'b', 'c']) answer(first(key));
  assert.equal(has('k'), true);
  let bytes = 0;
  const data = (chunk: Buffer) => {
    bytes += chunk.length;
    return true;
  };
  if (reading.kind === 'follow') reading.reader.play({ ...heedless, data });
  assert.equal(bytes, 7);
  answer(first('d'));
  assert.equal(recordings.complete, 2);
});

test('calls past the limit on their number are turned away, and let in again when one is over', () => {
  const { recordings, begin, first } = open({ recordingsMax: 2 });
  const recorder = first('a');
  first('b');
  assert.equal(begin('c').kind, 'full');
  assert.equal(begin('a').kind, 'follow');
  answer(recorder);
  first('c');
  assert.equal(recordings.begun.full, 1);
});

test('where answers in flight take all the room, one more passes and is not kept', () => {
  const { recordings, begin, first, has } = open({ bytesMax: 20_000 });
  const a = first('a');
  const b = first('b');
  for (const recorder of [a, b]) recorder.start(200, '', []);
  a.data(Buffer.alloc(12_000));
  b.data(Buffer.alloc(12_000));
  assert.equal(recordings.dropped.no_room, 1);
  assert.equal(begin('b').kind, 'in_flight');
  for (const recorder of [a, b]) recorder.end();
  assert.deepEqual([has('a'), has('b')], [true, false]);
});

test('whatever happens in whatever order, one call a key is open, limits hold, and every byte is given back', () => {
  const step = fc.record({
    what: fc.constantFrom('begin', 'data', 'end', 'fail', 'discard', 'cancel', 'hang up', 'resume', 'wait'),
    which: fc.nat(20),
    size: fc.nat(3_000),
    takes: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.boolean(), (steps, finish) => {
      const { recordings, begin, pass } = open({
        bytesMax: 30_000,
        recordingBytesMax: 8_000,
        recordingsMax: 6,
        whenAlone: finish ? 'finish' : 'cancel',
      });
      const recorders: { key: string; recorder: Recording }[] = [];
      const readers: Reader[] = [];
      for (const { what, which, size, takes } of steps) {
        const key = `k${which % 4}`;
        const recorder = recorders.at(-1 - (which % (recorders.length || 1)))?.recorder;
        const reader = readers.at(-1 - (which % (readers.length || 1)));
        if (what === 'begin') {
          const begun = begin(key);
          const isOpen = recorders.some((r) => r.key === key && r.recorder.outcome === 'open');
          if (begun.kind === 'first') {
            assert.equal(isOpen, false);
            begun.recorder.start(200, '', []);
            recorders.push({ key, recorder: begun.recorder });
          } else if (begun.kind === 'full') assert.equal(isOpen, false);
          if (begun.kind === 'first' || begun.kind === 'follow') {
            readers.push(begun.reader);
            begun.reader.play({ ...heedless, data: () => takes });
          }
        } else if (what === 'data') recorder?.data(Buffer.alloc(size));
        else if (what === 'end') recorder?.end();
        else if (what === 'fail') recorder?.fail(new Error('cut'));
        else if (what === 'discard') recorder?.discard();
        else if (what === 'cancel') reader?.cancel();
        else if (what === 'hang up') reader?.hangUp();
        else if (what === 'resume') reader?.resume();
        else pass(size);
        assert.ok(recordings.inFlight <= 6);
        assert.equal(
          recordings.inFlight,
          recorders.filter((r) => r.recorder.outcome === 'open').length,
          'what is in flight is neither lost nor left',
        );
      }
      for (const { recorder } of recorders) recorder.end();
      for (const reader of readers) reader.cancel();
      assert.ok(recordings.bytes <= 30_000 && recordings.complete <= 6);
      pass(LIFETIME_MS);
      for (let i = 0; i < 4; i++) {
        const begun = begin(`k${i}`);
        assert.equal(begun.kind, 'first');
        if (begun.kind === 'first') begun.reader.cancel();
        if (begun.kind === 'first') begun.recorder.end();
      }
      assert.equal(recordings.bytes, 0);
    }),
    { numRuns: 300 },
  );
});
