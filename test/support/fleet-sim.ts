import type { Cause, Dimension, Kind } from '../../evals/attribute/cause.ts';
import { advance, evidence, noEvidence } from '../../evals/stats/e-detector.ts';
import { seededRandom } from '../../src/clock.ts';
import type { Observation } from '../../src/records/observation.ts';

/**
 * A simulated loop that changes once, and whose other versions change now and then without doing harm.
 *
 * It works on two kinds of tasks, an easy and a hard one, each with a pool of inputs that come back and are unlike
 * in difficulty. Half the answers are given in the same words each time. The checker judges a given answer the same
 * way but for one in fifty. At the change one thing moves the rate from `before` to `after`:
 *   model, prompt, tools  the work gets worse: on all inputs a little, or on some inputs altogether (at random)
 *   dataset               some inputs have another expected answer
 *   tasks                 hard tasks come more often
 *   checker               it gets stricter with right answers or laxer with wrong ones (at random)
 *   null                  as model, but no version says so
 */
export interface Simulation {
  seed: number;
  cause: Dimension | null;
  before: number;
  after: number;
  /** Scores between 0 and 1 instead of 0 and 1. */
  graded?: boolean;
  /** Without tasks' names, and every input once: nothing to compare like with like. */
  plain?: boolean;
  /** Runs between harmless version changes: uniform between these. */
  harmlessEvery?: readonly [number, number];
  /** Runs after the change. */
  runsAfter?: number;
}

export interface SimulatedLoop {
  kind: Kind;
  runs: Observation[];
  changeAt: number;
  /** What falls, run by run; null where a run has no value of it. */
  falling: (number | null)[];
}

const TASKS = ['easy', 'hard'];
const ITEMS_A_TASK = 100;
const SPREAD = 1.2;
const VERBATIM = 0.5;
const VERDICT_NOISE = 0.02;
const SENSITIVITY = 0.95;
const SPECIFICITY = 0.6;
/** Where the checker is what changes, so much of the work is right. */
const RIGHT_UNDER_CHECKER = 0.7;
const START_MS = Date.UTC(2025, 0, 1);
const VERSIONED: readonly Dimension[] = ['model', 'prompt', 'tools', 'checker', 'dataset'];

export function simulateLoop(simulation: Simulation): SimulatedLoop {
  const { seed, cause, before, after, graded = false, plain = false } = simulation;
  const { harmlessEvery = [100, 400], runsAfter = 1200 } = simulation;
  const random = seededRandom(seed);
  const changeAt = 200 + Math.floor(random() * 601);
  const total = changeAt + runsAfter;
  const level = cause === 'checker' ? RIGHT_UNDER_CHECKER : before;

  // Both tasks together give `level`, and so many more of the hard ones give `after`.
  const easy = level + 0.6 * (1 - level);
  const hard = Math.max(0.05, Math.min(level, after) - 0.25);
  const hardShare = (mean: number) => (easy - mean) / (easy - hard);
  const items = [easy, hard].map((mean, task) => makeItems(random, TASKS[task]!, mean));
  const worse = makeWorse(random, items.flat(), hardShare(level), level, after);
  const relabelled = new Set(items.flat().filter(() => random() < 1 - after / level));
  const laxer = random() < 0.5;

  const versions = versionsOf(random, cause, changeAt, total, harmlessEvery);
  const runs: Observation[] = [];
  const falling: (number | null)[] = [];
  for (let index = 0; index < total; index++) {
    const changed = index >= changeAt;
    const share = cause === 'tasks' && changed ? hardShare(after) : hardShare(level);
    const task = random() < share ? 1 : 0;
    const item = items[task]![Math.floor(random() * ITEMS_A_TASK)]!;
    const worseWork =
      changed && (cause === null || cause === 'model' || cause === 'prompt' || cause === 'tools');
    const right = random() < (worseWork ? worse(item) : item.p);
    const words = random() < VERBATIM ? '' : `-${index}`;
    const output = `${item.name}-${right ? 'right' : 'wrong'}${words}`;
    const good = right && !(cause === 'dataset' && changed && relabelled.has(item));
    const score = graded ? (good ? 0.7 + 0.3 * random() : 0.4 * random()) : Number(good);
    const rates = cause === 'checker' ? checkerRates(laxer, changed ? after : before) : CHECKER;
    const passRate = right ? rates.sensitivity : 1 - rates.specificity;
    const settled = uniformOf(`${seed} ${output}`) < passRate;
    const checkerPass = random() < VERDICT_NOISE ? !settled : settled;
    runs.push({
      index,
      runId: `r-${index}`,
      at: new Date(START_MS + index * 60_000).toISOString(),
      score,
      checkerPass,
      effects: 1,
      inputHash: plain ? `input-${index}` : item.name,
      outputHash: output,
      servedModel: `model-${versions.model[index]}`,
      promptVersion: `prompt-${versions.prompt[index]}`,
      toolsVersion: `tools-${versions.tools[index]}`,
      checkerVersion: `checker@${versions.checker[index]}`,
      datasetVersion: `dataset@${versions.dataset[index]}`,
      task: plain ? '' : TASKS[task]!,
    });
    const concerned = cause !== 'checker' || right !== laxer;
    falling.push(cause !== 'checker' ? score : concerned ? Number(checkerPass === right) : null);
  }
  return { kind: cause === 'checker' ? 'checker_drift' : 'golden_drop', runs, changeAt, falling };
}

/** Run at which a detector that knows the level before alarms, at an average run length of 10⁴. */
export function alarmOf({ falling, changeAt }: SimulatedLoop): number | undefined {
  const before = falling.slice(0, changeAt).flatMap((value) => value ?? []);
  const level = before.reduce((a, b) => a + b, 0) / before.length;
  const detector = noEvidence();
  for (const [index, value] of falling.entries()) {
    if (value === null) continue;
    advance(detector, value, level, index);
    if (evidence(detector) >= 10_000) return index;
  }
  return undefined;
}

export type Outcome = 'right' | 'unknown' | 'wrong';

export const outcomeOf = (cause: Cause | null, truth: Dimension | null): Outcome =>
  cause === null ? (truth === null ? 'right' : 'unknown') : cause.dimension === truth ? 'right' : 'wrong';

interface Item {
  name: string;
  p: number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const logit = (p: number) => Math.log(p / (1 - p));

function makeItems(random: () => number, task: string, mean: number): Item[] {
  const noise = Array.from({ length: ITEMS_A_TASK }, () => SPREAD * normal(random));
  const offset = solve((x) => noise.reduce((sum, e) => sum + sigmoid(x + e), 0) / noise.length, mean);
  return noise.map((e, i) => ({ name: `${task}-${i}`, p: sigmoid(offset + e) }));
}

/** How well the work is done after it got worse: a shift on all inputs, or a collapse on some of them. */
function makeWorse(random: () => number, items: Item[], hardShare: number, before: number, after: number) {
  const weight = (i: number) => (i < ITEMS_A_TASK ? 1 - hardShare : hardShare) / ITEMS_A_TASK;
  if (random() < 0.5) {
    const shift = solve(
      (x) => items.reduce((sum, item, i) => sum + weight(i) * sigmoid(logit(item.p) + x), 0),
      after,
    );
    return (item: Item) => sigmoid(logit(item.p) + shift);
  }
  const broken = new Set(items.filter(() => random() < 1 - after / before));
  return (item: Item) => (broken.has(item) ? 0.02 : item.p);
}

const CHECKER = { sensitivity: SENSITIVITY, specificity: SPECIFICITY };
const checkerRates = (laxer: boolean, rate: number) =>
  laxer ? { sensitivity: SENSITIVITY, specificity: rate } : { sensitivity: rate, specificity: SPECIFICITY };

function versionsOf(
  random: () => number,
  cause: Dimension | null,
  changeAt: number,
  total: number,
  [least, most]: readonly [number, number],
) {
  const steps = Object.fromEntries(VERSIONED.map((d) => [d, new Set<number>()])) as Record<
    string,
    Set<number>
  >;
  const others = VERSIONED.filter((d) => d !== cause);
  for (let at = gap() - Math.floor(random() * least); at < total; at += gap())
    steps[others[Math.floor(random() * others.length)]!]!.add(at);
  if (cause !== null && cause !== 'tasks') steps[cause]!.add(changeAt);
  function gap(): number {
    return least + Math.floor(random() * (most - least + 1));
  }
  const numbers = (dimension: Dimension) => {
    let version = 1;
    return Array.from({ length: total }, (_, i) => (steps[dimension]!.has(i) ? ++version : version));
  };
  return {
    model: numbers('model'),
    prompt: numbers('prompt'),
    tools: numbers('tools'),
    checker: numbers('checker'),
    dataset: numbers('dataset'),
  };
}

/** Where an increasing function of x in −30..30 takes the value. */
function solve(f: (x: number) => number, value: number): number {
  let low = -30;
  let high = 30;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (f(middle) < value) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Box–Muller. */
const normal = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Uniform in [0, 1), the same for the same text (FNV-1a, then mixed by the seeded generator). */
function uniformOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return seededRandom(hash)();
}
