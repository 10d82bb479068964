import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STREAM_PIECES_MAX, StreamPieces } from '../../src/gateway/stream-pieces.ts';

const told = (pieces: StreamPieces) => JSON.parse(pieces.toJson() ?? '[]') as [number, number][];

test('a piece has the time since the request and the characters that it brought', () => {
  const pieces = new StreamPieces(1000);
  pieces.add(1300, 0);
  pieces.add(1312.4, 4);
  pieces.add(1340, 4);
  pieces.add(1350, 13);
  assert.deepEqual(told(pieces), [
    [312, 4],
    [350, 9],
  ]);
});

test('a stream that said nothing has none', () => {
  assert.equal(new StreamPieces(0).toJson(), undefined);
});

test('however long a stream is, its pieces are bounded, none is early and no character is lost', () => {
  for (const n of [127, 128, 129, 1000, 12_345]) {
    const pieces = new StreamPieces(0);
    for (let i = 1; i <= n; i++) pieces.add(i * 10, i * 3);
    const all = told(pieces);
    assert.ok(all.length <= STREAM_PIECES_MAX && all.length >= Math.min(n, STREAM_PIECES_MAX / 2));
    let chars = 0;
    for (const [ms, of] of all) {
      chars += of;
      assert.ok(ms >= (chars / 3) * 10, 'a piece came before what is told of it');
    }
    assert.equal(chars, n * 3);
  }
});
