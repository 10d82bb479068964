import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { render } from '../../src/replay/play/answers.ts';
import { recordedAnswer } from '../../src/replay/play/match.ts';
import { sendRendered } from '../../src/replay/play/send.ts';
import { asks, call } from '../support/replay.ts';

/** A clock that jumps to where it is waited for, and remembers when that was. */
function jumpingClock() {
  let now = 0;
  const waits: number[] = [];
  return {
    ...systemClock(),
    now: () => now,
    sleep: async (ms: number) => {
      now += ms;
      waits.push(now);
    },
    waits,
  };
}

const recorded = call([], [asks({ type: 'text', content: 'One two three.' })], {
  stream: true,
  durationMs: 900,
  pieces: [
    [300, 4],
    [450, 4],
    [800, 6],
  ],
});

for (const isStream of [true, false])
  test(`a paced answer takes the time that it took${isStream ? ', piece by piece' : ''}`, async (t) => {
    const clock = jumpingClock();
    const rendered = render('chat_completions', recordedAnswer(recorded)!, recorded, {
      stream: isStream,
      streamUsage: false,
      createdS: 1,
    });
    const pieces = rendered.frames.filter(({ chars }) => chars > 0).map(({ chars }) => chars);
    const server = createServer((_, response) => void sendRendered(response, rendered, recorded, clock));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    t.after(() => server.close());
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const said = await answer.text();
    if (isStream) {
      assert.deepEqual(pieces, [4, 4, 6]);
      assert.match(said, /"content":"One ".*"content":"two ".*"content":"three\."/s);
    }
    assert.deepEqual(clock.waits, isStream ? [300, 450, 800] : [900]);
  });
