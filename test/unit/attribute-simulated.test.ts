import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { attribute } from '../../evals/attribute/attribute.ts';
import type { Dimension } from '../../evals/attribute/cause.ts';
import { alarmOf, type Outcome, outcomeOf, simulateLoop } from '../support/fleet-sim.ts';

/**
 * Loops that change once: how often the cause that is named is the one that it was. At the alarm where nothing else
 * changes; where harmless changes of other versions come every 100 to 400 runs, one of them now and then lies nearer
 * to the fall than its cause does, and what is promised is what is said when it is judged again. Effects of several
 * sizes, a third of the loops with graded scores. Seeded: the figures are the same each time. LOOPSCOPE_LONG=1 takes
 * 500 loops a cause, and some more kinds of loops.
 */
const LONG = process.env['LOOPSCOPE_LONG'] === '1';
const LOOPS = LONG ? 500 : 100;
const EFFECTS: readonly (readonly [before: number, after: number])[] = [
  [0.84, 0.5],
  [0.95, 0.6],
  [0.9, 0.7],
  [0.9, 0.8],
];
/** Runs after the alarm at which it is judged again. */
const LATER = 200;

type Tally = Record<Outcome, number> & { inInterval: number };

interface Measured {
  /** Of as many runs after the alarm as are asked for, in their order. */
  tallies: Tally[];
  /** Alarmed before the change or never: another story. */
  missed: number;
}

interface Kind {
  /** Without other changes of versions. */
  alone?: boolean;
  /** Without tasks' names, and every input once. */
  plain?: boolean;
}

/** Longer than any loop. */
const NEVER = [1e6, 1e6] as const;

function measure(
  truth: Dimension | null,
  laters: readonly number[],
  { alone = false, plain = false }: Kind = {},
): Measured {
  const tallies = laters.map((): Tally => ({ right: 0, unknown: 0, wrong: 0, inInterval: 0 }));
  let missed = 0;
  for (let i = 0; i < LOOPS; i++) {
    const [before, after] = EFFECTS[i % EFFECTS.length]!;
    const seed = i * 1_000 + (truth?.length ?? 0) * 7 + (truth?.charCodeAt(0) ?? 0);
    const loop = simulateLoop({
      seed,
      cause: truth,
      before,
      after,
      graded: i % 3 === 2,
      plain,
      ...(alone && { harmlessEvery: NEVER }),
    });
    const alarmAt = alarmOf(loop);
    if (alarmAt === undefined || alarmAt < loop.changeAt) {
      missed++;
      continue;
    }
    for (const [j, later] of laters.entries()) {
      const until = alarmAt + 1 + later;
      const found = attribute(loop.kind, loop.runs.slice(0, until), loop.falling.slice(0, until));
      const counts = tallies[j]!;
      counts[outcomeOf(found.cause, truth)]++;
      const [first, last] = found.interval;
      if (first <= loop.changeAt && loop.changeAt <= last) counts.inInterval++;
    }
  }
  return { tallies, missed };
}

function report(t: TestContext, what: string, { right, unknown, wrong, inInterval }: Tally): number {
  const n = right + unknown + wrong;
  const share = (count: number) => `${((100 * count) / n).toFixed(1)} %`;
  t.diagnostic(
    `${what}: right ${share(right)}, unknown ${share(unknown)}, wrong ${share(wrong)}; change in the interval ${share(inInterval)}; of ${n} loops`,
  );
  return n;
}

/** What is promised of 500; of 100 the same with what luck may take. */
const [RIGHT_LEAST, WRONG_MOST] = LONG ? [0.9, 0.02] : [0.85, 0.04];

function check(truth: Dimension, counts: Tally, n: number): void {
  assert.ok(counts.right >= RIGHT_LEAST * n, `${counts.right} of ${n} right`);
  assert.ok(counts.wrong <= WRONG_MOST * n, `${counts.wrong} of ${n} wrong`);
  // A change that leaves every level where it is has no interval to be in.
  if (truth !== 'tasks')
    assert.ok(counts.inInterval >= 0.9 * n, `${counts.inInterval} of ${n} in the interval`);
}

for (const truth of ['checker', 'prompt', 'tools', 'dataset', 'tasks'] as const) {
  test(`a change of ${truth} is put to ${truth} at the alarm`, (t) => {
    const { tallies, missed } = measure(truth, [0], { alone: true });
    assert.ok(missed <= 0.1 * LOOPS, `${missed} alarmed before the change or never`);
    check(truth, tallies[0]!, report(t, 'at the alarm', tallies[0]!));
  });

  test(`among harmless changes a change of ${truth} is put to ${truth}, and hardly ever to something else`, (t) => {
    const { tallies, missed } = measure(truth, LONG ? [LATER, 0] : [LATER]);
    const [later, atAlarm] = tallies;
    if (atAlarm) report(t, 'at the alarm', atAlarm);
    assert.ok(missed <= 0.1 * LOOPS, `${missed} alarmed before the change or never`);
    check(truth, later!, report(t, `${LATER} runs later`, later!));
  });
}

const skip = LONG ? false : 'takes minutes: LOOPSCOPE_LONG=1';

test('without inputs that come back and without tasks, more is left unknown than guessed wrong', {
  skip,
}, (t) => {
  for (const truth of ['prompt', 'checker'] as const) {
    const { tallies } = measure(truth, [0, LATER], { plain: true });
    for (const [j, counts] of tallies.entries()) {
      const n = report(t, `${truth}, ${j === 0 ? 'at the alarm' : `${LATER} runs later`}`, counts);
      assert.ok(counts.wrong <= 0.04 * n && counts.wrong < counts.unknown);
    }
  }
});

test('of falls that no version explains, most stay unexplained although versions change all the time', {
  skip,
}, (t) => {
  const [atAlarm, later] = measure(null, [0, LATER]).tallies;
  report(t, 'at the alarm', atAlarm!);
  const n = report(t, `${LATER} runs later`, later!);
  assert.ok(later!.right >= 0.7 * n && later!.wrong <= atAlarm!.wrong);
});
