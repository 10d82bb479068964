import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Clock, seededRandom, systemClock } from '../../src/clock.ts';
import type { Reader } from '../../src/gateway/idempotency/reader.ts';
import type { Recording } from '../../src/gateway/idempotency/recording.ts';
import { Recordings, type RecordingsOptions } from '../../src/gateway/idempotency/recordings.ts';
import type { ProviderListener } from '../../src/gateway/provider.ts';

const stillClock: Clock = { ...systemClock(), now: () => 0 };
const open = (options: Partial<RecordingsOptions> = {}) =>
  new Recordings({
    clock: stillClock,
    bytesMax: 10_000_000,
    recordingBytesMax: 1_000_000,
    recordingsMax: 1_000,
    whenAlone: 'cancel',
    isFinal: (status) => status === 200,
    ...options,
  });
const origin = { traceId: 't1', spanId: 's1' };
const ask = (recordings: Recordings, fingerprint = 'f') =>
  recordings.begin({ key: 'k', fingerprint, origin, lifetimeMs: 1_000 });
function first(recordings: Recordings): { recorder: Recording; reader: Reader } {
  const begun = ask(recordings);
  assert.equal(begun.kind, 'first');
  return begun as { recorder: Recording; reader: Reader };
}
function follow(recordings: Recordings): Reader {
  const begun = ask(recordings);
  assert.equal(begun.kind, 'follow');
  return (begun as { reader: Reader }).reader;
}

/** A caller: keeps what it hears, and takes as many chunks at a time as `appetite` says. */
class Caller implements ProviderListener {
  readonly reader: Reader;
  readonly chunks: Buffer[] = [];
  status: number | undefined;
  headers: string[] = [];
  outcome: 'open' | 'ended' | Error = 'open';
  appetite: number;
  constructor(reader: Reader, appetite = Number.POSITIVE_INFINITY) {
    this.reader = reader;
    this.appetite = appetite;
  }
  start(status: number, _: string, headers: string[]): void {
    assert.equal(this.status, undefined);
    this.status = status;
    this.headers = headers;
  }
  data(chunk: Buffer): boolean {
    assert.ok(this.status !== undefined && this.outcome === 'open');
    this.chunks.push(chunk);
    this.appetite--;
    return this.appetite > 0;
  }
  end(): void {
    assert.equal(this.outcome, 'open');
    this.outcome = 'ended';
  }
  fail(error: Error): void {
    assert.equal(this.outcome, 'open');
    this.outcome = error;
  }
  play(): this {
    this.reader.play(this);
    return this;
  }
  eat(chunks: number): void {
    this.appetite = chunks;
    this.reader.resume();
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

/** What the recording does to the provider. */
function source() {
  const calls = { resumed: 0, cancelled: 0 };
  return {
    calls,
    call: { resume: () => void calls.resumed++, cancel: () => void calls.cancelled++ },
  };
}

test('whoever comes at whatever point, however slow, gets the same bytes in order', () => {
  const scenario = fc.record({
    chunks: fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 30 }),
    callers: fc.array(fc.record({ comesAt: fc.nat(40), playsLater: fc.nat(5) }), { maxLength: 12 }),
    seed: fc.integer(),
    fails: fc.boolean(),
  });
  fc.assert(
    fc.property(scenario, ({ chunks, callers, seed, fails }) => {
      const random = seededRandom(seed);
      const recordings = open();
      const { recorder, reader } = first(recordings);
      const all = [new Caller(reader, 3).play()];
      const waiting: { caller: Caller; playsAt: number }[] = [];
      const pass = (step: number) => {
        for (const { comesAt, playsLater } of callers)
          if (comesAt === step) {
            const begun = ask(recordings);
            // It failed before this one came, which is thus the next first.
            if (begun.kind === 'first') begun.reader.cancel();
            if (begun.kind !== 'follow') continue;
            const caller = new Caller(begun.reader, 1 + Math.floor(random() * 3));
            all.push(caller);
            waiting.push({ caller, playsAt: step + playsLater });
          }
        for (const { caller, playsAt } of waiting) if (playsAt === step) caller.play();
        for (const caller of all) if (random() < 0.5) caller.eat(1 + Math.floor(random() * 4));
      };
      let step = 0;
      pass(step++);
      recorder.start(200, 'OK', ['content-type', 'text/plain']);
      for (const chunk of chunks) {
        pass(step++);
        assert.equal(recorder.data(Buffer.from(chunk)), true);
      }
      const error = new Error('cut');
      if (fails) recorder.fail(error);
      else recorder.end();
      while (step <= 50) pass(step++);
      for (const caller of all) caller.eat(Number.POSITIVE_INFINITY);
      const sent = Buffer.concat(chunks).toString('latin1');
      for (const caller of all) {
        assert.equal(caller.status, 200);
        assert.equal(caller.text, sent);
        assert.equal(caller.outcome, fails ? error : 'ended');
      }
      assert.equal(recordings.complete, fails ? 0 : 1);
      if (fails) assert.equal(recordings.bytes, 0);
    }),
  );
});

test('however large an answer, the first caller gets all of it, and no more than the limit waits for anyone', () => {
  const scenario = fc.record({
    chunks: fc.array(fc.uint8Array({ minLength: 1, maxLength: 900 }), { minLength: 5, maxLength: 40 }),
    slow: fc.array(fc.nat(6), { maxLength: 5 }),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(scenario, ({ chunks, slow, seed }) => {
      const random = seededRandom(seed);
      const recordingBytesMax = 4_000;
      const recordings = open({ recordingBytesMax });
      const { recorder, reader } = first(recordings);
      const caller = new Caller(reader).play();
      const followers = slow.map((appetite) => new Caller(follow(recordings), appetite + 1).play());
      recorder.start(200, 'OK', []);
      for (const chunk of chunks) {
        recorder.data(Buffer.from(chunk));
        assert.ok(recordings.bytes <= recordingBytesMax, `${recordings.bytes}`);
        for (const follower of followers) if (random() < 0.3) follower.eat(2);
      }
      recorder.end();
      for (const follower of followers) follower.eat(Number.POSITIVE_INFINITY);
      const sent = Buffer.concat(chunks).toString('latin1');
      assert.equal(caller.text, sent);
      assert.equal(caller.outcome, 'ended');
      let cutOff = 0;
      for (const { text, outcome } of followers) {
        assert.ok(sent.startsWith(text));
        if (outcome === 'ended') assert.equal(text, sent);
        else cutOff++;
      }
      assert.equal(recordings.dropped.reader_too_slow, cutOff);
      // Nothing of it is left, unless it was within the limit.
      if (recordings.complete === 0) assert.equal(recordings.bytes, 0);
    }),
  );
});

test('a lone caller of an answer too large to be kept sets the pace and is never cut off', () => {
  const recordings = open({ recordingBytesMax: 2_000 });
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  const caller = new Caller(reader, 1).play();
  recorder.start(200, 'OK', []);
  let sent = 0;
  while (recorder.data(Buffer.alloc(500))) assert.ok(++sent < 10, 'the provider must be paused');
  assert.equal(ask(recordings).kind, 'in_flight');
  assert.equal(calls.resumed, 0);
  caller.eat(10);
  caller.eat(10);
  assert.equal(calls.resumed, 1);
  assert.ok(recordings.bytes < 2_000, 'what everybody has is let go');
  recorder.end();
  assert.equal(caller.outcome, 'ended');
  assert.deepEqual({ ...recordings.dropped, too_large: 0 }, { ...open().dropped });
  assert.equal(recordings.dropped.too_large, 1);
  assert.equal(first(recordings).recorder === recorder, false);
});

test('a caller that hangs up leaves the call to those who are still there', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  const gone = new Caller(reader).play();
  const stays = new Caller(follow(recordings)).play();
  recorder.start(200, 'OK', []);
  recorder.data(Buffer.from('a'));
  reader.cancel();
  recorder.data(Buffer.from('b'));
  recorder.end();
  assert.deepEqual([gone.text, gone.outcome], ['a', 'open']);
  assert.deepEqual([stays.text, stays.outcome], ['ab', 'ended']);
  assert.equal(calls.cancelled, 0);
});

test('with nobody left the call is cancelled, and the next one with the key is the first again', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  const follower = new Caller(follow(recordings)).play();
  reader.play(new Caller(reader));
  recorder.drivenBy(call);
  reader.cancel();
  assert.equal(calls.cancelled, 0);
  follower.reader.cancel();
  assert.equal(calls.cancelled, 1);
  assert.equal(follower.outcome, 'open');
  assert.equal(recordings.bytes, 0);
  assert.equal(first(recordings).recorder === recorder, false);
});

test('a call that is made after everybody left is cancelled at once', () => {
  const { recorder, reader } = first(open());
  reader.cancel();
  const { calls, call } = source();
  recorder.drivenBy(call);
  assert.equal(calls.cancelled, 1);
});

test('where it is to be finished, the one who comes back gets the answer to the call that nobody waited for', () => {
  const recordings = open({ whenAlone: 'finish' });
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  recorder.start(200, 'OK', []);
  reader.cancel();
  recorder.data(Buffer.from('late'));
  recorder.end();
  assert.equal(calls.cancelled, 0);
  assert.equal(new Caller(follow(recordings)).play().text, 'late');
});

test('an answer too large to be kept is not finished for nobody', () => {
  const recordings = open({ whenAlone: 'finish', recordingBytesMax: 2_000 });
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  reader.play(new Caller(reader));
  recorder.start(200, 'OK', []);
  recorder.data(Buffer.alloc(5_000));
  reader.cancel();
  assert.equal(calls.cancelled, 1);
});

test('who listens for the record only cuts no slow caller off', () => {
  const recordings = open({ recordingBytesMax: 2_000 });
  const { recorder, reader } = first(recordings);
  const gone = new Caller(reader).play();
  const slow = new Caller(follow(recordings), 1).play();
  reader.hangUp();
  recorder.start(200, 'OK', []);
  for (let i = 0; i < 4; i++) recorder.data(Buffer.alloc(1_000));
  assert.equal(slow.outcome, 'open');
  assert.equal(recorder.data(Buffer.alloc(1_000)), false);
  recorder.end();
  slow.eat(10);
  assert.deepEqual([slow.outcome, slow.text.length, gone.text.length], ['ended', 5_000, 5_000]);
});

test('an answer that outgrows the limit is not finished for nobody', () => {
  const recordings = open({ whenAlone: 'finish', recordingBytesMax: 2_000 });
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  recorder.start(200, 'OK', []);
  reader.cancel();
  for (let i = 0; i < 5; i++) recorder.data(Buffer.alloc(500));
  assert.equal(calls.cancelled, 1);
  assert.equal(recordings.bytes, 0);
});

test('one who hung up may hear how the answer ends, but holds neither the pace nor the call', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const { calls, call } = source();
  recorder.drivenBy(call);
  const gone = new Caller(reader, 1).play();
  const follower = new Caller(follow(recordings)).play();
  recorder.start(200, 'OK', []);
  recorder.data(Buffer.from('a'));
  recorder.data(Buffer.from('b'));
  assert.equal(gone.text, 'a');
  reader.hangUp();
  assert.equal(gone.text, 'ab');
  recorder.data(Buffer.from('c'));
  assert.deepEqual([gone.text, gone.outcome], ['abc', 'open']);
  follower.reader.cancel();
  assert.equal(calls.cancelled, 1);
  assert.ok(gone.outcome instanceof Error);
});

test('a failure before the answer reaches everybody, and nothing is kept', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const error = new Error('refused');
  const late = new Caller(follow(recordings));
  const callers = [new Caller(reader).play(), new Caller(follow(recordings)).play()];
  recorder.fail(error);
  for (const caller of [...callers, late.play()]) {
    assert.equal(caller.status, undefined);
    assert.equal(caller.outcome, error);
  }
  assert.equal(recordings.bytes, 0);
  assert.equal(recordings.dropped.failed, 1);
});

test('a listener that throws hears that the answer is over, and the others hear all of it', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const broken = new Caller(reader);
  broken.start = () => {
    throw new TypeError('a header that cannot be sent');
  };
  broken.play();
  const follower = new Caller(follow(recordings)).play();
  assert.throws(() => recorder.start(200, 'OK', []), TypeError);
  recorder.fail(new Error('after that'));
  assert.ok(broken.outcome instanceof Error);
  assert.ok(follower.outcome instanceof Error);
});

test('cookies reach the caller for whom they were set, and nobody else', () => {
  const recordings = open();
  const { recorder, reader } = first(recordings);
  const caller = new Caller(reader).play();
  const live = new Caller(follow(recordings)).play();
  const headers = ['X-Request-Id', 'r', 'Set-Cookie', 'secret=1', 'content-type', 'text/plain'];
  recorder.start(200, 'OK', headers);
  recorder.end();
  const kept = ['X-Request-Id', 'r', 'content-type', 'text/plain'];
  assert.deepEqual(caller.headers, headers);
  assert.deepEqual(live.headers, kept);
  const later = new Caller(follow(recordings)).play();
  assert.deepEqual(later.headers, kept);
  assert.deepEqual(later.reader.origin, origin);
});
