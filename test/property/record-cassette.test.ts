import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { readCassette } from '../../src/replay/record/cassette-read.ts';
import { cassetteLines } from '../../src/replay/record/cassette-write.ts';
import type { Recording } from '../../src/replay/recording.ts';
import { randomRecording } from '../support/random-recording.ts';

const folder = mkdtempSync(join(tmpdir(), 'loopscope-cassette-'));
const file = join(folder, 'cassette');
after(() => rmSync(folder, { recursive: true, force: true }));

const twoRuns = fc.tuple(randomRecording('l', 'r-1'), randomRecording('l', 'r-2'));
const read = (text: string): Promise<Recording[]> => {
  writeFileSync(file, text);
  return readCassette(file);
};

test('what is read from a cassette is what was written to it, and each content is in it once', async () => {
  await fc.assert(
    fc.asyncProperty(twoRuns, async (recordings) => {
      const lines = [...cassetteLines(recordings)];
      assert.deepEqual(await read(lines.join('')), recordings);
      const contents = lines.map((line) => JSON.parse(line)).filter(({ hash }) => hash !== undefined);
      assert.equal(new Set(contents.map(({ type, hash }) => type + hash)).size, contents.length);
    }),
    { numRuns: 60 },
  );
});

test('equal messages are one object when they are read', async () => {
  const message = { role: 'user', parts: [{ type: 'text', content: 'hello' }] };
  const [sample] = fc.sample(randomRecording('l', 'r'), { numRuns: 1, seed: 7 });
  const call = fc
    .sample(
      randomRecording('l', 'r').filter(({ steps }) => steps.some((s) => s.kind === 'call')),
      { numRuns: 1, seed: 1 },
    )[0]!
    .steps.find((s) => s.kind === 'call')!;
  const steps = [1, 2].map((n) => ({
    ...call,
    kind: 'call' as const,
    spanId: `000000000000000${n}`,
    atMs: n,
    input: [structuredClone(message)],
    output: [structuredClone(message)],
    toolDefinitions: null,
  }));
  const [recording] = await read([...cassetteLines([{ ...sample!, steps, gaps: [] }])].join(''));
  const [first, second] = recording!.steps as typeof steps;
  assert.equal(first!.input[0], second!.output[0]);
});

test('a file with any line broken is not taken at all, and the line is named', async () => {
  const [recordings] = fc.sample(twoRuns, { numRuns: 1, seed: 3 });
  const lines = [...cassetteLines(recordings!)];
  await fc.assert(
    fc.asyncProperty(
      fc.nat(lines.length - 1),
      fc.constantFrom(
        '{',
        'null',
        '[]',
        '{"type":"step"}',
        '{"type":"virus"}',
        '{"type":"message","hash":"x","value":{"role":1}}',
      ),
      async (at, broken) => {
        const told = lines.with(at, `${broken}\n`).join('');
        await assert.rejects(read(told), (error: Error) => error.message.includes(`:${at + 1}: `));
      },
    ),
    { numRuns: 60 },
  );
});

const HEAD = '{"type":"cassette","version":1}\n';
const [run] = fc.sample(randomRecording('l', 'r'), { numRuns: 1, seed: 5 });
const [, ...OF_RUN] = [...cassetteLines([{ ...run!, gaps: [] }])];
const runAt = OF_RUN.findIndex((line) => line.startsWith('{"type":"run"'));
const stepAt = OF_RUN.findIndex((line) => line.startsWith('{"type":"step"'));
const STEP = OF_RUN[stepAt]!;

/** What a stranger could send, and what is to be said of it. */
const HOSTILE: Record<string, [text: string, said: RegExp]> = {
  'nothing at all': ['', /no run in it|expected a cassette/],
  'another kind of file': ['PK\x03\x04\n', /:1: expected a cassette/],
  'a later version': ['{"type":"cassette","version":2}\n', /:1: expected version 1/],
  'a header again': [HEAD + HEAD, /:2: a cassette begins once/],
  'a step before any run': [HEAD + STEP, /:2: /],
  'nested a million deep': [
    `${HEAD}${'['.repeat(1e6)}${']'.repeat(1e6)}\n`,
    /:2: it is nested deeper than 100/,
  ],
  'nested deep in a message': [
    `${HEAD}{"type":"message","hash":"h","value":{"role":"user","parts":[{"type":"x","v":${'['.repeat(200)}${']'.repeat(200)}}]}}\n`,
    /:2: it is nested deeper than 100/,
  ],
  'a message that is not there': [
    HEAD + OF_RUN[runAt] + JSON.stringify({ ...plainCall(), input: ['nowhere'] }),
    /:3: input: no message "nowhere" before it/,
  ],
  'a hash twice': [
    `${HEAD}${'{"type":"text","hash":"h","value":"a"}\n'.repeat(2)}`,
    /:3: hash: "h" is in it twice/,
  ],
  'a run twice': [`${HEAD}${OF_RUN[runAt]}${OF_RUN[runAt]}`, /is in it twice/],
  'a parameter that is a prototype': [
    `${HEAD}${OF_RUN[runAt]}${JSON.stringify(plainCall()).replace('"parameters":{', '"parameters":{"__proto__":1')}`,
    /:3: parameters: /,
  ],
  'a field that nobody knows': [
    `${HEAD}${JSON.stringify({ ...JSON.parse(OF_RUN[runAt]!), constructor: 'x' })}`,
    /:2: .*constructor/,
  ],
  'a span id twice': [
    `${HEAD}${OF_RUN[runAt]}${JSON.stringify(plainCall())}\n${JSON.stringify(plainCall())}`,
    /:4: spanId: .* is another step's/,
  ],
  'a gap past the last step': [
    `${HEAD}${JSON.stringify({ ...JSON.parse(OF_RUN[runAt]!), gaps: [{ what: 'input', why: 'expired', steps: [9] }] })}`,
    /has only 0 steps/,
  ],
  'a gap of no kind': [
    `${HEAD}${JSON.stringify({ ...JSON.parse(OF_RUN[runAt]!), gaps: [{ what: '__proto__', why: 'expired', steps: [] }] })}`,
    /:2: gaps\.0\.what/,
  ],
  'a time before the one before': [
    `${HEAD}${OF_RUN[runAt]}${JSON.stringify({ ...plainCall(), atMs: 5 })}\n${JSON.stringify({ ...plainCall(), spanId: '00000000000000ff', atMs: 1 })}`,
    /:4: atMs/,
  ],
};

function plainCall() {
  const step = {
    type: 'step',
    kind: 'call',
    spanId: '00000000000000aa',
    agent: 'maker',
    role: 'maker',
    parentAgent: '',
    atMs: 0,
    durationMs: 1,
    error: null,
    provider: '',
    api: null,
    stream: false,
    model: 'm',
    servedModel: null,
    parameters: {},
    promptVersion: null,
    toolsVersion: null,
    toolDefinitions: null,
    input: null,
    output: null,
    finishReasons: [],
    inputTokens: null,
    outputTokens: null,
    costUsd: null,
    firstChunkMs: null,
    pieces: null,
  };
  return step;
}

for (const [what, [text, said]] of Object.entries(HOSTILE))
  test(`refused with its line: ${what}`, async () => {
    await assert.rejects(read(text), (error: { code?: string } & Error) => {
      assert.equal(error.code, 'bad_input');
      assert.match(error.message, said);
      return true;
    });
  });

test('names that mean something in JavaScript are names like any other', async () => {
  const text = `${HEAD}{"type":"message","hash":"__proto__","value":{"role":"user","parts":[{"type":"tool_call","arguments":{"__proto__":{"polluted":1},"constructor":2}}]}}\n${OF_RUN[runAt]}${JSON.stringify({ ...plainCall(), input: ['__proto__'] })}\n`;
  const [recording] = await read(text);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  const again = [...cassetteLines([recording!])].join('');
  assert.match(again, /"__proto__":\{"polluted":1\},"constructor":2/);
});
