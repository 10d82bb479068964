import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Traces } from '../../collector/traces.ts';
import { systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { OtlpEncoding } from '../../src/span/batch.ts';
import { mutations, soundRequest } from '../support/mutations.ts';

/**
 * Malformed requests through everything between a body and the rows of an insert. LOOPSCOPE_LONG=1 tries a million,
 * half in each encoding (minutes: by `node --test`, which has no deadline). A failure names its seed and number;
 * LOOPSCOPE_FUZZ_SEED plays them again.
 */
const CASES = process.env['LOOPSCOPE_LONG'] === '1' ? 1_000_000 : 20_000;
const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_122);
/** What is left over of one request must not change the next: looked at every so many. */
const SOUND_EVERY = 250;
/** Room for a garbage collector that is behind, in a process that ran the other tests' modules. */
const GROWTH_BYTES_MAX = 512 * 1024 * 1024;

/** The time is in the rows of messages. */
const clock = { ...systemClock(), now: () => 1_700_000_000_000, nowNs: () => 1_700_000_000_000_000_000n };
const traces = () => new Traces({ clock, capture: () => 'full', findLoop: undefined });

for (const encoding of ['protobuf', 'json'] as const)
  test(`malformed ${encoding} is taken or refused with one of two codes, and leaves no trace in what follows`, (t) => {
    const tried = traces();
    const next = mutations(SEED, encoding);
    const sound = [soundRequest(encoding, 3), soundRequest(encoding, 6)];
    const expected = sound.map((body) => outcome(traces(), body, encoding));
    for (const { items } of expected) assert.ok(items! > 0);
    const counts: Record<string, number> = {};
    let differing = 0;
    let firstDiffering: string | undefined;
    const before = process.memoryUsage().rss;
    let peak = before;
    for (let n = 0; n < CASES / 2; n++) {
      const body = next();
      const where = `seed ${SEED}, case ${n}, ${body.subarray(0, 2_000).toString('base64')}`;
      const got = outcome(tried, body, encoding, where);
      counts[got.refused ?? 'taken'] = (counts[got.refused ?? 'taken'] ?? 0) + 1;
      if (!isDeepStrictEqual(summary(got), decoded(tried, body, encoding))) {
        differing++;
        firstDiffering ??= where;
      }
      if (n % SOUND_EVERY > 0) continue;
      peak = Math.max(peak, process.memoryUsage().rss);
      for (const [i, request] of sound.entries())
        assert.deepEqual(outcome(tried, request, encoding), expected[i], where);
    }
    const mb = (bytes: number) => Math.round(bytes / 1024 / 1024);
    t.diagnostic(`${JSON.stringify(counts)}, RSS ${mb(before)} MB before, ${mb(peak)} MB at most`);
    assert.equal(differing, 0, `the two ways disagree, first at ${firstDiffering}`);
    assert.ok(counts['taken']! > 0 && counts['bad_input']! > CASES / 20, JSON.stringify(counts));
    assert.ok(peak - before < GROWTH_BYTES_MAX, `memory grew by ${peak - before} bytes`);
  });

interface Outcome {
  refused?: string;
  items?: number;
  rejected?: object;
  cut?: object;
  rows?: { table: string; rows: number; bytes: string }[];
}

function outcome(of: Traces, body: Buffer, encoding: OtlpEncoding, where = 'sound'): Outcome {
  return refusable(where, () => {
    const { items, rejected, cut, chunks } = of.prepare(body, encoding);
    const rows = chunks.map(({ table, rows, bytes }) => ({ table, rows, bytes: bytes.toString('base64') }));
    return { items, rejected: { ...rejected }, cut: { ...cut }, rows };
  });
}

const summary = ({ refused, items, rejected, cut }: Outcome) =>
  refused ? { refused } : { items, rejected, cut };

/** The same by way of decoded objects, which protobuf does not take unless it must. */
const decoded = (of: Traces, body: Buffer, encoding: OtlpEncoding): Outcome =>
  refusable('decoded', () => {
    const { spans, rejected, cut } = of.admit(body, encoding);
    return { items: spans.length, rejected: { ...rejected }, cut: { ...cut } };
  });

/** Anything but a refusal of these two codes is a bug. */
function refusable(where: string, work: () => Outcome): Outcome {
  try {
    return work();
  } catch (error) {
    if (error instanceof LoopscopeError && (error.code === 'bad_input' || error.code === 'body_too_large'))
      return { refused: error.code };
    throw new Error(`${where}: ${(error as Error).stack}`, { cause: error });
  }
}
