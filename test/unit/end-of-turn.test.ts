import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndOfTurn } from '../../src/gateway/end-of-turn.ts';
import { FewATurn } from '../../src/gateway/few-a-turn.ts';

const tick = () => new Promise<void>((resolve) => process.nextTick(resolve));
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('work at the end of a turn', () => {
  it('is done once for all that came in it, and in the order in which it was asked for', async () => {
    const done: string[] = [];
    const first = new EndOfTurn<number>((items) => done.push(`first ${items}`));
    const second = new EndOfTurn<number>((items) => done.push(`second ${items}`));
    first.add(1);
    second.add(2);
    first.add(3);
    await tick();
    assert.deepEqual(done, []);
    await turn();
    assert.deepEqual(done, ['first 1,3', 'second 2']);
    first.add(4);
    await turn();
    assert.deepEqual(done.slice(2), ['first 4']);
  });

  it('does not let more than so many wait', async () => {
    const done: number[][] = [];
    const work = new EndOfTurn<number>((items) => done.push([...items]), 3);
    for (const item of [1, 2, 3]) work.add(item);
    assert.deepEqual(done, [], 'whoever adds something is not interrupted by what is done of it');
    await tick();
    work.add(4);
    await tick();
    assert.deepEqual(done, [[1, 2, 3]]);
    await turn();
    assert.deepEqual(done, [[1, 2, 3], [4]]);
  });

  it('does what was added meanwhile in the next turn, and what is done before is not done again', async () => {
    const done: string[] = [];
    const other = new EndOfTurn<string>((items) => done.push(...items));
    const work: EndOfTurn<string> = new EndOfTurn((items) => {
      other.doNow();
      done.push(...items);
      if (items.includes('once')) work.add('meanwhile');
    });
    work.add('once');
    other.add('before');
    await turn();
    assert.deepEqual(done, ['before', 'once']);
    await turn();
    assert.deepEqual(done, ['before', 'once', 'meanwhile']);
  });
});

describe('work that gives way', () => {
  it('is done for a few in each turn, in the order in which they came', async () => {
    const done: number[] = [];
    const work = new FewATurn<number>((item) => done.push(item), 2);
    for (const item of [1, 2, 3, 4, 5]) work.add(item);
    await tick();
    assert.deepEqual(done, []);
    await turn();
    assert.deepEqual(done, [1, 2]);
    work.add(6);
    for (const expected of [4, 6, 6]) {
      await turn();
      assert.equal(done.length, expected);
    }
    assert.deepEqual(done, [1, 2, 3, 4, 5, 6]);
  });

  it('is done once for whoever comes while it is done, and goes on after it was all done', async () => {
    const done: string[] = [];
    const work: FewATurn<string> = new FewATurn((item) => {
      done.push(item);
      if (item === 'a') work.add('by a');
    }, 3);
    work.add('a');
    await turn();
    await turn();
    assert.deepEqual(done, ['a', 'by a']);
    work.add('b');
    await turn();
    assert.deepEqual(done, ['a', 'by a', 'b']);
  });
});
