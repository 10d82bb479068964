import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { playRecording } from '../../src/replay/play/drive.ts';
import { recordedModel } from '../../src/replay/play/match.ts';
import type { FreshCall } from '../../src/replay/play/ports.ts';
import { chat } from '../../src/replay/play/wire/chat.ts';
import { rawTrajectories, trajectories, trajectoriesAbsent } from '../support/trajectories.ts';

test('200 trajectories of a real agent are played exactly to the last message', {
  skip: trajectoriesAbsent,
}, async () => {
  const raw = rawTrajectories();
  const recordings = trajectories('airline');
  assert.equal(recordings.length, 200);
  let tools = 0;
  let matched = 0;
  for (const [i, recording] of recordings.entries()) {
    const played = await playRecording(recording, {
      mode: 'exact',
      replayId: 'replay-1',
      clock: systemClock(),
      model: recordedModel(recording, { strict: true }),
      strict: true,
    });
    assert.equal(played.outcome, 'done', `trajectory ${i}: ${JSON.stringify(played.divergences)}`);
    assert.deepEqual(played.divergences, []);
    const { steps } = played.recording;
    assert.equal(steps.length, recording.steps.length);
    steps.forEach((step, at) => {
      const before = recording.steps[at]!;
      assert.equal(step.kind, before.kind);
      if (step.kind !== 'tool' || before.kind !== 'tool') return;
      tools++;
      assert.deepEqual([step.tool, step.callId, step.result], [before.tool, before.callId, before.result]);
    });
    // What was said in all, in the words of the API, is what stands in the file.
    const last = steps.findLast((step) => step.kind === 'call')!;
    const said = chat.request({ ...last, input: [...last.input!, ...last.output!] } as FreshCall);
    const messages = raw[i]!.traj.map(({ name: _, ...message }) => message);
    const end = messages.findLastIndex(({ role }) => role === 'assistant');
    assert.deepEqual((said as { messages: unknown[] }).messages, messages.slice(0, end + 1));
    matched += played.matched;
  }
  assert.equal(tools, 1164);
  assert.equal(matched, raw.flatMap(({ traj }) => traj).filter(({ role }) => role === 'assistant').length);
});
