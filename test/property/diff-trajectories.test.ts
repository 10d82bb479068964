import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { areAlike, diffRecordings } from '../../src/replay/diff/diff.ts';
import { side } from '../../src/replay/diff/difference.ts';
import { playRecording } from '../../src/replay/play/drive.ts';
import { recordedModel } from '../../src/replay/play/match.ts';
import { type ChatMessage, chatToRecording } from '../../src/replay/record/chat-import.ts';

/** Real conversations of an agent with its tools (tau-bench, airline), with a character of a tool's result changed. */
const FILE = join(process.env['LOOPSCOPE_TEST_DATA'] ?? '../shared/data', 'tau-bench/gpt-4o-airline.json');
const skip = existsSync(FILE) ? false : `no trajectories at ${FILE}: set LOOPSCOPE_TEST_DATA`;
const SEED = 20261127;
const CHANGES = 1_000;

const trajectories = (): ChatMessage[][] =>
  (JSON.parse(readFileSync(FILE, 'utf8')) as { traj: ChatMessage[] }[]).map(({ traj }) => traj);

const record = (messages: readonly ChatMessage[]) =>
  chatToRecording(messages, { loop: 'airline', run: 'task' });

test('200 real trajectories are like themselves', { skip }, () => {
  const all = trajectories();
  assert.equal(all.length, 200);
  for (const messages of all) {
    const diff = diffRecordings(record(messages), record(structuredClone(messages)));
    assert.ok(areAlike(diff));
    assert.equal(diff.counts.same, diff.steps.length);
  }
});

test('what is replayed from the record alone is like its run', { skip }, async () => {
  for (const messages of trajectories()) {
    const recording = record(messages);
    const options = { mode: 'exact', replayId: 'replay', clock: systemClock() } as const;
    const played = await playRecording(recording, { ...options, model: recordedModel(recording) });
    assert.ok(areAlike(diffRecordings(recording, played.recording)));
  }
});

test('one character that is another in a recorded result is found at its step, at any place', {
  skip,
}, () => {
  const random = seededRandom(SEED);
  const pick = (n: number) => Math.floor(random() * n);
  const all = trajectories()
    .map((messages) => ({ messages, recording: record(messages) }))
    .filter(({ messages }) => messages.some(isResult));
  for (let n = 0; n < CHANGES; n++) {
    const { messages, recording } = all[pick(all.length)]!;
    const results = messages.flatMap((message, at) => (isResult(message) ? [at] : []));
    const at = results[pick(results.length)]!;
    const before = String(messages[at]!.content);
    const place = pick(before.length);
    const after = changed(before, place, pick);
    const copy = messages.with(at, { ...messages[at]!, content: after });
    // Each result is one step, in order.
    const nth = messages.slice(0, at).filter(({ role }) => role === 'tool').length;
    const index = recording.steps.flatMap(({ kind }, i) => (kind === 'tool' ? [i] : []))[nth];
    const diff = diffRecordings(recording, record(copy));
    const found = diff.steps[diff.firstDivergence ?? -1];
    const context = `seed ${SEED}, change ${n}: ${JSON.stringify(before.slice(place - 20, place + 20))} is ${JSON.stringify(after.slice(place - 20, place + 20))}`;
    assert.deepEqual([found?.kind, found?.aIndex, found?.bIndex], ['tool', index, index], context);
    const difference = found!.differences.find(({ field }) => field === 'result');
    assert.equal(difference?.weight, 'counts', context);
    if (difference.change.kind === 'text') {
      assert.equal(side(difference.change.pieces, 'a'), before, context);
      assert.equal(side(difference.change.pieces, 'b'), after, context);
    } else if (difference.change.kind === 'json')
      // A value that is another, or a key that is gone and another that came.
      assert.ok([1, 2].includes(difference.change.entries.length), context);
  }
});

const isResult = ({ role, content }: ChatMessage) => role === 'tool' && content !== '';

/** Another character there, one more, or one less. */
function changed(text: string, place: number, pick: (n: number) => number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:-_"{}[]\\\n';
  let letter = letters[pick(letters.length)]!;
  while (letter === text[place]) letter = letters[pick(letters.length)]!;
  const rest = text.slice(place + 1);
  return text.slice(0, place) + [letter + rest, letter + text[place] + rest, rest][pick(3)]!;
}
