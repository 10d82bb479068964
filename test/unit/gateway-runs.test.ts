import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { SpanDraft } from '../../src/gateway/record/span-draft.ts';
import { type AgentName, Runs } from '../../src/gateway/runs.ts';
import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';

/** Runs on a clock that stands still until it is moved; nothing is swept by itself. */
function still(idleMs = 1_000) {
  let nowMs = 0;
  const clock: Clock = {
    ...systemClock(),
    now: () => nowMs,
    sleep: (_, signal) =>
      new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true }),
      ),
  };
  const spans: SpanDraft[] = [];
  const runs = new Runs({ clock, idleMs, emit: (all) => spans.push(...all) });
  const move = (ms: number) => {
    nowMs += ms;
    runs.sweep();
  };
  return { runs, spans, move, ended: () => spans.filter((s) => s.attributes.get(A.record) === 'run') };
}

const name = (runId: string, loop = 'l') => ({ loop, runId, registered: true });
const maker: AgentName = { name: 'maker', parent: undefined, role: 'maker', parentRole: undefined };

test('a run is idle only while it has no call under way', () => {
  const { runs, move, ended } = still();
  const run = runs.touch(name('r'), 5n);
  runs.callStarted(run);
  move(10_000);
  assert.equal(ended().length, 0);
  runs.callEnded(run, maker, 5n, 90n);
  move(900);
  assert.equal(ended().length, 0);
  move(200);
  const [span] = ended();
  assert.deepEqual([span!.startNs, span!.endNs], [5n, 90n]);
  runs.close();
});

test('one run too many closes the one that is idle longest', () => {
  const { runs, ended, move } = still();
  runs.callStarted(runs.touch(name('busy'), 1n));
  for (let i = 1; i < LIMITS.openRunsMax; i++) runs.touch(name(`r${i}`), 1n);
  move(500); // the order is that of moments some time apart
  runs.touch(name('r1'), 2n);
  assert.equal(ended().length, 0);
  runs.touch(name('one-more'), 3n);
  assert.equal(runs.size, LIMITS.openRunsMax);
  assert.deepEqual(
    ended().map((s) => s.attributes.get(A.runId)),
    ['r2'],
  );
  runs.close();
  assert.equal(runs.size, 0);
});

test('a call that outlasts its run keeps what was said of it, and its beginning', () => {
  const { runs, move, ended } = still();
  const run = runs.touch(name('r'), 5n);
  runs.callStarted(run);
  runs.end(name('r'), 'error', 10n);
  runs.callEnded(run, maker, 5n, 50n);
  move(2_000);
  const [first, second] = ended();
  assert.equal(ended().length, 2);
  assert.equal(second!.spanId, first!.spanId);
  assert.deepEqual([second!.startNs, second!.endNs], [5n, 50n]);
  assert.equal(second!.attributes.get(A.outcome), 'error');
  runs.close();
});

test('the parent of a sub-agent has a span, whether it called or not', () => {
  const { runs, spans } = still();
  const run = runs.touch(name('r'), 1n);
  runs.callStarted(run);
  runs.callEnded(run, { name: 'search', parent: 'maker', role: 'sub', parentRole: 'maker' }, 1n, 9n);
  runs.end(name('r'), undefined, 10n);
  const agents = spans.filter((s) => s.attributes.get(A.record) === 'agent');
  assert.deepEqual(
    agents.map((s) => s.name),
    ['invoke_agent maker', 'invoke_agent search'],
  );
  assert.equal(agents[1]!.parentSpanId, agents[0]!.spanId);
  runs.close();
});

test('two loops with a run of the same name are two runs', () => {
  const { runs, ended } = still();
  runs.touch(name('r', 'a'), 1n);
  runs.touch(name('r', 'b'), 1n);
  runs.close();
  assert.equal(new Set(ended().map((s) => s.traceId)).size, 2);
});

test('a loop whose calls name no run gets a new one after a quiet time', () => {
  const { runs, move } = still();
  const first = runs.implicitRun('l');
  runs.touch(name(first), 1n);
  assert.equal(runs.implicitRun('l'), first);
  move(2_000);
  assert.notEqual(runs.implicitRun('l'), first);
  runs.close();
});
