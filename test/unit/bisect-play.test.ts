import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, seededRandom, systemClock } from '../../src/clock.ts';
import { bisect } from '../../src/replay/bisect/bisect.ts';
import { gatherMaterials, materialIn } from '../../src/replay/bisect/materials.ts';
import { type PlayTrialOptions, playTrial } from '../../src/replay/bisect/play-trial.ts';
import { DIMENSIONS, type Dimension } from '../../src/replay/bisect/trial.ts';
import { textOf } from '../../src/replay/play/message-parts.ts';
import type { Answered, FreshCall, Played } from '../../src/replay/play/ports.ts';
import type { ModelCall, Recording } from '../../src/replay/recording.ts';
import { asks, call, recordingOf, text, tool, toolCall, toolResult } from '../support/replay.ts';

/** Bisect on recorded runs: what stands behind versions reaches the calls, and what comes of it is what is scored. */
const clock: Clock = systemClock();
const LOOP = {
  agents: [
    { name: 'maker', role: 'maker' as const, models: [] },
    { name: 'reviewer', role: 'checker' as const, models: [], verdict: { json: '$.pass' } },
  ],
};

/** A run that asks, looks something up, answers and is judged, with each version `good` or `bad`. */
function recorded(run: string, versions: Partial<Record<Dimension, 'good' | 'bad'>> = {}): Recording {
  const { model = 'good', prompt = 'good', tools = 'good', checker = 'good' } = versions;
  const made: Partial<ModelCall> = {
    model: 'gpt',
    servedModel: `gpt-${model}`,
    promptVersion: `p-${prompt}`,
    toolsVersion: `t-${tools}`,
    toolDefinitions: JSON.stringify([{ type: 'function', function: { name: 'lookup', description: tools } }]),
  };
  const opening = [text('system', `You are ${prompt}.`), text('user', `Is ${run} prime?`)];
  const use = asks(toolCall('c1', 'lookup', { of: run }));
  const answer = text('assistant', `[Yes] for ${run}`);
  return recordingOf(
    [
      call(opening, [use], made),
      tool('lookup', 'c1', { of: run }, 'found'),
      call([...opening, use, toolResult('c1', 'found')], [answer], made),
      call(
        [text('system', `Review with ${checker} eyes.`), text('user', `Answer: [Yes] for ${run}`)],
        [text('assistant', '{"pass":true}')],
        { agent: 'reviewer', role: 'checker', promptVersion: `c-${checker}` },
      ),
    ],
    { run },
  );
}

const systemOf = ({ input }: FreshCall) => textOf(input.filter(({ role }) => role === 'system'));
const isBad = (asked: FreshCall) => ({
  model: asked.model === 'gpt-bad',
  prompt: systemOf(asked) === 'You are bad.',
  tools: asked.toolDefinitions?.includes('bad') === true,
  checker: systemOf(asked) === 'Review with bad eyes.',
});

/** A world in which one dimension's bad version makes answers wrong, or verdicts. */
function world(culprit: Dimension, seed: number) {
  const random = seededRandom(seed);
  const says = (content: string): Answered => ({
    outcome: 'answered',
    match: undefined,
    answer: {
      output: [text('assistant', content)],
      servedModel: null,
      finishReasons: ['stop'],
      inputTokens: 1,
      outputTokens: 1,
      costUsd: 0.002,
      durationMs: 1,
      firstChunkMs: null,
    },
  });
  let answer = '';
  return (asked: FreshCall): Answered => {
    const isBitten = isBad(asked)[culprit] && random() < 0.8;
    if (asked.role === 'checker') return says(JSON.stringify({ pass: (answer === '[Yes]') !== isBitten }));
    if (!asked.input.some(({ role }) => role === 'tool')) {
      const { answer: said } = says('') as Extract<Answered, { outcome: 'answered' }>;
      const of = /Is (\S+) prime/.exec(textOf(asked.input))![1]!;
      return {
        outcome: 'answered',
        match: undefined,
        answer: { ...said, output: [asks(toolCall('c9', 'lookup', { of }))] },
      };
    }
    answer = isBitten ? '[No]' : '[Yes]';
    return says(answer);
  };
}

const goods = Array.from({ length: 8 }, (_, i) => recorded(`g${i}`));
const bads = Array.from({ length: 8 }, (_, i) =>
  recorded(`b${i}`, { model: 'bad', prompt: 'bad', tools: 'bad', checker: 'bad' }),
);
const recordings = new Map([...goods, ...bads].map((recording) => [recording.run, recording]));
const CHANGES = [
  { dimension: 'model', history: ['gpt-good', 'gpt-bad'] },
  { dimension: 'prompt', history: ['p-good', 'p-bad'] },
  { dimension: 'tools', history: ['t-good', 't-bad'] },
  { dimension: 'checker', history: ['reviewer@c-good', 'reviewer@c-bad'] },
] as const;

const materials = () =>
  gatherMaterials(CHANGES, async function* (_, version) {
    yield version.endsWith('good') ? goods[0]! : bads[0]!;
  });

const kept: Played[] = [];
const trialOptions = async (culprit: Dimension): Promise<PlayTrialOptions> => ({
  items: [...recordings.keys()],
  load: async (runId) => recordings.get(runId),
  overridesOf: (await materials()).overridesOf,
  modelFor: () => world(culprit, 1),
  score: async (output) => ({ score: Number(output === '[Yes]') }),
  isJudged: true,
  definition: LOOP,
  clock,
  newId: () => `replay-${clock.randomHex(4)}`,
  keep: async (_, played) => {
    kept.push(played);
  },
});

for (const culprit of DIMENSIONS)
  test(`a ${culprit} that recorded runs changed is named by replaying them`, async () => {
    // One world for all of a search: chance goes on from replay to replay.
    const model = world(culprit, 7);
    const { changes } = await materials();
    const result = await bisect({
      changes,
      trial: playTrial({ ...(await trialOptions(culprit)), modelFor: () => model }),
      items: recordings.size,
      measures: ['golden', 'checker'],
      seed: 3,
      replaysMax: 300,
    });
    assert.equal(result.outcome, 'one', JSON.stringify([...result.trials.failures]));
    assert.deepEqual(result.culprits, [CHANGES.find(({ dimension }) => dimension === culprit)]);
    assert.equal(result.measure, culprit === 'checker' ? 'checker' : 'golden');
    assert.ok(Math.abs(result.trials.costUsd - 0.006 * result.trials.replays) < 1e-9);
  });

test('a replay is scored by its own answer, and kept with its score', async () => {
  kept.length = 0;
  const trial = playTrial(await trialOptions('model'));
  const good = await trial({ model: 'gpt-good' }, 0);
  assert.ok(good.outcome === 'scored');
  assert.deepEqual([good.golden, good.checker], [1, 1]);
  const [played] = kept;
  assert.equal(played!.recording.run, good.replay);
  assert.equal(played!.recording.goldenScore, 1);
  assert.equal(played!.recording.replayOf, 'g0');
});

test('without a verdict to look at the checker is not asked', async () => {
  kept.length = 0;
  const trial = playTrial({ ...(await trialOptions('model')), isJudged: false });
  const result = await trial({}, 0);
  assert.ok(result.outcome === 'scored' && result.checker === null && result.golden === 1);
  assert.ok(kept[0]!.recording.steps.every(({ role }) => role !== 'checker'));
});

test('what has no answer or no score is a failure with its code, and no score of 0', async () => {
  const options = await trialOptions('model');
  const failing = async (more: Partial<PlayTrialOptions>) => {
    const result = await playTrial({ ...options, ...more })({}, 0);
    assert.ok(result.outcome === 'failed');
    return result.reason;
  };
  const failed = async (): Promise<Answered> => ({ outcome: 'failed', error: '404', message: 'gone' });
  assert.match(await failing({ modelFor: () => failed }), /^call_failed: gone/);
  assert.match(await failing({ score: async () => ({ error: 'judge_timeout: late' }) }), /^judge_timeout/);
  assert.match(await failing({ load: async () => undefined }), /^not_found: run g0/);
  const otherTool = (): Answered => {
    const said = world('model', 1)(goods[0]!.steps[2] as unknown as FreshCall);
    assert.ok(said.outcome === 'answered');
    return { ...said, answer: { ...said.answer, output: [asks(toolCall('c2', 'unheard_of', {}))] } };
  };
  assert.match(await failing({ modelFor: () => otherTool }), /^tool_not_recorded/);
});

test('a version whose content was not kept is named, and its change is left out', async () => {
  const blank: Recording = {
    ...goods[0]!,
    steps: goods[0]!.steps.map((step) =>
      step.kind === 'call' ? { ...step, input: null, toolDefinitions: null } : step,
    ),
  };
  const { changes, impossible } = await gatherMaterials(CHANGES, async function* (_, version) {
    yield version.endsWith('good') ? blank : bads[0]!;
  });
  assert.deepEqual(
    changes.map(({ dimension }) => dimension),
    ['model'],
  );
  assert.deepEqual(
    impossible.map(({ dimension, version }) => `${dimension} ${version}`),
    ['prompt p-good', 'tools t-good', 'checker reviewer@c-good'],
  );
  assert.match(impossible[2]!.why, /what its checker is told is not on record/);
  const ownCode = materialIn({ ...goods[0]!, steps: goods[0]!.steps.slice(0, 3) }, 'checker', 'parses@');
  assert.ok('why' in ownCode && /the loop's own code/.test(ownCode.why));
});

test('a version between that nobody kept is left out of the history, and the change stays', async () => {
  const history = ['p-good', 'p-lost', 'p-bad'];
  const { changes, impossible } = await gatherMaterials(
    [{ dimension: 'prompt', history }],
    async function* (_, version) {
      if (version !== 'p-lost') yield version === 'p-good' ? goods[0]! : bads[0]!;
    },
  );
  assert.deepEqual(changes[0]!.history, ['p-good', 'p-bad']);
  assert.deepEqual(impossible, [
    { dimension: 'prompt', version: 'p-lost', why: 'no run with it is on record' },
  ]);
});
