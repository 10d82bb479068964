import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { playRecording } from '../../src/replay/play/drive.ts';
import { recordedModel } from '../../src/replay/play/match.ts';
import { type ChatMessage, fromChat, fromTrajectory } from '../support/replay.ts';

const FILE = join(process.env['LOOPSCOPE_TEST_DATA'] ?? '../shared/data', 'tau-bench/gpt-4o-airline.json');
const skip = existsSync(FILE) ? false : `no trajectories at ${FILE}: set LOOPSCOPE_TEST_DATA`;

test('200 trajectories of a real agent are played exactly to the last message', { skip }, async () => {
  const trajectories = JSON.parse(readFileSync(FILE, 'utf8')) as { task_id: number; traj: ChatMessage[] }[];
  assert.equal(trajectories.length, 200);
  let tools = 0;
  let matched = 0;
  for (const [i, { traj }] of trajectories.entries()) {
    const recording = fromTrajectory(traj, `task-${i}`);
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
      if (step.kind === 'tool' && before.kind === 'tool') {
        tools++;
        assert.deepEqual([step.tool, step.callId, step.result], [before.tool, before.callId, before.result]);
      } else if (step.kind === 'call' && before.kind === 'call') {
        assert.deepEqual(step.input, before.input);
        assert.deepEqual(step.output, before.output);
      } else assert.fail(`step ${at} of trajectory ${i} is a ${step.kind}, not a ${before.kind}`);
    });
    const last = traj.findLastIndex(({ role }) => role === 'assistant');
    const call = steps.findLast((step) => step.kind === 'call')!;
    assert.deepEqual([...call.input!, ...call.output!], traj.slice(0, last + 1).map(fromChat));
    matched += played.matched;
  }
  assert.equal(tools, 1164);
  assert.equal(
    matched,
    trajectories.flatMap(({ traj }) => traj).filter((m) => m.role === 'assistant').length,
  );
});
