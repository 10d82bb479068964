import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Logs } from '../../collector/logs/logs.ts';
import { prepareMetrics } from '../../collector/metrics/metrics.ts';
import { readMessage } from '../../collector/receive/grpc-message.ts';
import { Intake } from '../../collector/receive/intake.ts';
import { Traces } from '../../collector/traces.ts';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { OtlpEncoding, Prepared } from '../../src/span/batch.ts';
import { mutations, soundRequest } from '../support/mutations.ts';
import { soundLogs, soundMetrics } from '../support/sound-requests.ts';

/** Malformed requests for logs and metrics, and malformed messages of gRPC. LOOPSCOPE_LONG=1 tries many more. */
const isLong = process.env['LOOPSCOPE_LONG'] === '1';
const CASES = isLong ? 100_000 : 4_000;
const MESSAGES = isLong ? 20_000 : 2_000;
const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_122);
const SOUND_EVERY = 250;
const GROWTH_BYTES_MAX = 512 * 1024 * 1024;

const clock = { ...systemClock(), now: () => 1_700_000_000_000, nowNs: () => 1_700_000_000_000_000_000n };

type Prepare = (body: Buffer, encoding: OtlpEncoding) => Prepared;

function logs(): Prepare {
  const traces = new Traces({ clock, capture: () => 'full', findLoop: undefined });
  const all = new Logs({
    clock,
    capture: () => 'full',
    findLoop: undefined,
    prepareSpans: (spans, messages) => traces.prepareAdmitted({ spans, messages, rejected: {}, cut: {} }),
  });
  return (body, encoding) => all.prepare(body, encoding);
}

const SIGNALS = [
  ['logs', logs, soundLogs],
  ['metrics', () => prepareMetrics, soundMetrics],
] as const;

for (const [signal, preparer, sound] of SIGNALS)
  for (const encoding of ['protobuf', 'json'] as const)
    test(`malformed ${signal} in ${encoding} are taken or refused, and leave no trace in what follows`, (t) => {
      const tried: Prepare = preparer();
      const next = mutations(SEED, encoding, sound);
      const request = sound(encoding, 7);
      const expected = outcome(preparer(), request, encoding, 'sound');
      assert.ok(expected.items! > 0);
      const counts: Record<string, number> = {};
      const before = process.memoryUsage().rss;
      let peak = before;
      for (let n = 0; n < CASES / 2; n++) {
        const body = next();
        const where = `seed ${SEED}, case ${n}, ${body.subarray(0, 2_000).toString('base64')}`;
        const { refused = 'taken' } = outcome(tried, body, encoding, where);
        counts[refused] = (counts[refused] ?? 0) + 1;
        if (n % SOUND_EVERY > 0) continue;
        peak = Math.max(peak, process.memoryUsage().rss);
        assert.deepEqual(outcome(tried, request, encoding, where), expected, where);
      }
      const mb = (bytes: number) => Math.round(bytes / 1024 / 1024);
      t.diagnostic(`${JSON.stringify(counts)}, RSS ${mb(before)} MB before, ${mb(peak)} MB at most`);
      assert.ok(counts['taken']! > 0 && counts['bad_input']! > CASES / 20, JSON.stringify(counts));
      assert.ok(peak - before < GROWTH_BYTES_MAX, `memory grew by ${peak - before} bytes`);
    });

interface Outcome {
  refused?: string;
  items?: number;
  rows?: string[];
}

function outcome(prepare: Prepare, body: Buffer, encoding: OtlpEncoding, where: string): Outcome {
  try {
    const { items, chunks } = prepare(body, encoding);
    return { items, rows: chunks.map(({ table, bytes }) => `${table} ${bytes.toString('base64')}`) };
  } catch (error) {
    return { refused: codeOf(error, ['bad_input', 'body_too_large'], where) };
  }
}

/** Anything but a refusal with one of `codes` is a bug. */
function codeOf(error: unknown, codes: readonly string[], where: string): string {
  if (error instanceof LoopscopeError && codes.includes(error.code)) return error.code;
  throw new Error(`${where}: ${(error as Error).stack}`, { cause: error });
}

test('a message of gRPC that is cut, too long, or not what its prefix says is refused; one in order comes through', async (t) => {
  const random = seededRandom(SEED);
  const below = (n: number) => Math.floor(random() * n);
  const intake = new Intake({ clock: systemClock() });
  const counts: Record<string, number> = {};
  for (let n = 0; n < MESSAGES; n++) {
    const message = soundRequest('protobuf', n);
    const isPacked = random() < 0.5;
    const sent = isPacked ? gzipSync(message) : message;
    const prefix = Buffer.alloc(5);
    prefix[0] = isPacked ? 1 : 0;
    prefix.writeUInt32BE(sent.length, 1);
    let framed = Buffer.concat([prefix, sent]);
    const kind = below(6);
    if (kind === 1) framed = framed.subarray(0, below(framed.length));
    if (kind === 2) framed = Buffer.concat([framed, framed.subarray(0, 1 + below(20))]);
    if (kind === 3) framed[below(5)]! ^= 1 << below(8);
    if (kind === 4) framed[5 + below(sent.length)]! ^= 1 << below(8);
    if (kind === 5) framed.writeUInt32BE(below(2 ** 32), 1);
    const where = `seed ${SEED}, message ${n}, kind ${kind}`;
    const { lease, arrival } = intake.open(framed.length, isPacked, () => {});
    let got: string;
    try {
      const body = await readMessage(inPieces(framed, below), 'gzip', 1_000_000, { lease, arrival });
      got = body.equals(message) ? 'intact' : 'changed';
    } catch (error) {
      got = codeOf(error, ['bad_input', 'body_too_large'], where);
    }
    arrival.over();
    lease.release();
    if (kind === 0) assert.equal(got, 'intact', where);
    if (kind === 1 || kind === 2) assert.equal(got, 'bad_input', where);
    counts[got] = (counts[got] ?? 0) + 1;
  }
  t.diagnostic(JSON.stringify(counts));
  assert.equal(intake.pending.bytes, 0, 'all memory is given back');
  assert.equal(intake.waitMs, 0);
});

async function* inPieces(bytes: Buffer, below: (n: number) => number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + below(700);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
