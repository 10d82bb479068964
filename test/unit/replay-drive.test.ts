import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type PlayOptions, playRecording } from '../../src/replay/play/drive.ts';
import { recordedModel } from '../../src/replay/play/match.ts';
import { textOf } from '../../src/replay/play/message-parts.ts';
import type { FreshCall, ModelPort } from '../../src/replay/play/ports.ts';
import type { Message, Recording } from '../../src/replay/recording.ts';
import { asks, call, recordingOf, text, tool, toolCall, toolResult } from '../support/replay.ts';

const play = (recording: Recording, options: Partial<PlayOptions> = {}) =>
  playRecording(recording, {
    mode: 'exact',
    replayId: 'replay-1',
    clock: systemClock(),
    model: recordedModel(recording),
    ...options,
  });

/** A model that says what it is told to, and keeps what it was asked. */
function model(...answers: Message[]): ModelPort & { asked: FreshCall[] } {
  const asked: FreshCall[] = [];
  const port: ModelPort = (asking) => {
    asked.push(asking);
    const output = answers[asked.length - 1];
    if (!output) return { outcome: 'failed', error: '500', message: 'asked too often' };
    return {
      outcome: 'answered',
      match: undefined,
      answer: {
        output: [output],
        servedModel: 'fresh-1',
        finishReasons: [],
        inputTokens: 1,
        outputTokens: 1,
        costUsd: 0.5,
        durationMs: 1,
        firstChunkMs: null,
      },
    };
  };
  return Object.assign(port, { asked });
}

const OPENING = [text('system', 'Desk.'), text('user', 'Where is order 7?')];
const LOOK = asks(toolCall('call_1', 'look_up', { id: 7 }));
const FOUND = toolResult('call_1', 'late by three days');
const SAID = text('assistant', 'It is late by three days, sorry.');
const REVIEW = [text('system', 'Review.'), text('user', `The answer: ${textOf([SAID])}`)];
const PASS = text('assistant', '{"pass": true}');
const desk = () =>
  recordingOf(
    [
      call(OPENING, [LOOK]),
      tool('look_up', 'call_1', { id: 7 }, 'late by three days'),
      call([...OPENING, LOOK, FOUND], [SAID]),
      call(REVIEW, [PASS], { agent: 'reviewer', role: 'checker' }),
    ],
    { verdict: { pass: true, checker: 'reviewer' } },
  );
const definition = {
  agents: [{ name: 'reviewer', role: 'checker' as const, models: [], verdict: { json: '$.pass' } }],
};

describe('playing a recorded conversation', () => {
  test('a fresh answer gets to whoever read the recorded one', async () => {
    const fresh = model(LOOK, text('assistant', 'All is well.'), text('assistant', '{"pass": false}'));
    const played = await play(desk(), { mode: 'model', model: fresh, definition });
    assert.equal(played.outcome, 'done');
    assert.equal(textOf(fresh.asked[2]!.input), 'Review.\nThe answer: All is well.');
    assert.deepEqual(played.recording.verdict, { pass: false, checker: 'reviewer' });
    assert.equal(played.output, 'All is well.');
    assert.equal(played.recording.costUsd, 1.5);
    assert.deepEqual(played.divergences, []);
  });

  test('the tools’ results follow the fresh calls, by name and arguments, whatever their ids and order', async () => {
    const recording = recordingOf([
      call(OPENING, [asks(toolCall('call_1', 'a', { x: 1 }), toolCall('call_2', 'b', { y: 2 }))]),
      tool('a', 'call_1', { x: 1 }, 'of a'),
      tool('b', 'call_2', { y: 2 }, 'of b'),
      call(
        [
          ...OPENING,
          asks(toolCall('call_1', 'a', { x: 1 }), toolCall('call_2', 'b', { y: 2 })),
          toolResult('call_1', 'of a'),
          toolResult('call_2', 'of b'),
        ],
        [SAID],
      ),
    ]);
    const fresh = model(asks(toolCall('call_8', 'b', '{ "y": 2 }'), toolCall('call_9', 'a', { x: 1 })), SAID);
    const played = await play(recording, { mode: 'model', model: fresh });
    assert.deepEqual(played.divergences, []);
    assert.deepEqual(fresh.asked[1]!.input.slice(-2), [
      toolResult('call_8', 'of b'),
      toolResult('call_9', 'of a'),
    ]);
  });

  const ways: [string, Message[], string[], string][] = [
    ['another tool', [asks(toolCall('c', 'erase', {}))], ['other_tool', 'tool_not_recorded'], 'stopped'],
    [
      'other arguments',
      [asks(toolCall('c', 'look_up', { id: 'another order altogether' }))],
      ['other_arguments', 'tool_not_recorded'],
      'stopped',
    ],
    ['no tool', [text('assistant', 'No idea.'), PASS], ['no_tool_call'], 'done'],
    [
      'a tool more',
      [asks(toolCall('c', 'look_up', { id: 7 }), toolCall('d', 'erase', {}))],
      ['more_tool_calls', 'tool_not_recorded'],
      'stopped',
    ],
  ];
  for (const [way, answers, kinds, outcome] of ways)
    test(`a fresh answer with ${way} is a divergence by name`, async () => {
      const played = await play(desk(), { mode: 'model', model: model(...answers), definition });
      assert.deepEqual(
        played.divergences.map(({ kind }) => kind),
        kinds,
      );
      assert.equal(played.outcome, outcome);
      assert.equal(played.divergences[0]!.recordedStep, 0);
      const strict = await play(desk(), { mode: 'model', model: model(...answers), strict: true });
      assert.deepEqual([strict.outcome, strict.divergences.length], ['stopped', 1]);
    });

  test('an agent that goes in circles is stopped', async () => {
    const again = Array.from({ length: 60 }, (_, i) => asks(toolCall(`c${i}`, 'look_up', { id: 7 })));
    const results = Array.from({ length: 60 }, (_, i) => tool('look_up', `call_${i}`, { id: 7 }, 'late'));
    const { steps } = desk();
    const first = call(OPENING, [LOOK]);
    const recording = recordingOf([first, ...results, steps[2]!]);
    const played = await play(recording, { mode: 'model', model: model(...again) });
    assert.equal(played.divergences.at(-1)?.kind, 'too_many_calls');
  });

  test('another prompt, model and parameters are the maker’s; a checker’s prompt is its own', async () => {
    const fresh = model(LOOK, SAID, PASS);
    await play(desk(), {
      mode: 'model',
      model: fresh,
      overrides: {
        model: 'gpt-5',
        prompt: 'Be kind.',
        parameters: { temperature: 0 },
        checkers: { reviewer: 'Be stern.' },
      },
    });
    const seen = fresh.asked.map(({ model, parameters, input }) => [
      model,
      parameters['temperature'],
      textOf(input.slice(0, 1)),
    ]);
    assert.deepEqual(seen, [
      ['gpt-5', 0, 'Be kind.'],
      ['gpt-5', 0, 'Be kind.'],
      ['gpt-4o', undefined, 'Be stern.'],
    ]);
  });

  test('only what is recorded can be played, and what is missing is named', async () => {
    const recording = desk();
    const [first] = recording.steps;
    const without = recordingOf([{ ...first, output: null } as never, ...recording.steps.slice(1)]);
    await assert.rejects(play(without), (error: unknown) => {
      assert.ok(error instanceof LoopscopeError);
      assert.equal(error.code, 'recording_incomplete');
      assert.match(error.message, /what was answered to step 1 is not on record/);
      return true;
    });
    await assert.rejects(play(recordingOf([])), /no call of a model/);
  });

  test('a result that was not recorded is none', async () => {
    const recording = desk();
    const steps = recording.steps.map((step) => (step.kind === 'tool' ? { ...step, result: null } : step));
    const [a, b] = steps;
    const played = await play(recordingOf([a!, b!, steps[3]!]));
    assert.deepEqual(
      played.divergences.map(({ kind }) => kind),
      ['tool_not_recorded'],
    );
  });

  test('a record whose calls do not add up diverges at the call that nobody recorded', async () => {
    const recording = desk();
    const steps = [...recording.steps];
    const other = toolResult('call_1', 'on time');
    steps[2] = call([...OPENING, LOOK, other], [SAID]);
    const played = await play(
      { ...recording, steps },
      { strict: true, model: recordedModel({ ...recording, steps }, { strict: true }) },
    );
    assert.deepEqual(
      played.divergences.map(({ kind, recordedStep }) => [kind, recordedStep]),
      [['call_unmatched', 2]],
    );
    assert.match(played.divergences[0]!.differences[0]!, /recorded ".*on time", now ".*late by three days"/);
  });
});
