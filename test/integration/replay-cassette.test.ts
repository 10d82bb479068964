import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cassetteLines } from '../../src/replay/record/cassette-write.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { asks, call, recordingOf, text, tool, toolCall, toolResult } from '../support/replay.ts';
import { until } from '../support/until.ts';

/** `loopscope replay FILE`: from a cassette, with nothing running. */
const OPENING = [text('user', 'Where is order 7?')];
const LOOK = asks(toolCall('call_1', 'look_up', { id: 7 }));
const recording = recordingOf([
  call(OPENING, [LOOK], { spanId: '00000000000000a1' }),
  tool('look_up', 'call_1', { id: 7 }, 'late', { spanId: '00000000000000a2' }),
  call([...OPENING, LOOK, toolResult('call_1', 'late')], [text('assistant', 'It is late.')], {
    spanId: '00000000000000a3',
  }),
]);

const withCassette = <T>(work: (file: string, folder: string) => Promise<T>): Promise<T> =>
  inFolder((folder) => {
    const file = join(folder, 'run.jsonl');
    writeFileSync(file, `${[...cassetteLines([recording])].map((line) => line.trimEnd()).join('\n')}\n`);
    writeFileSync(join(folder, 'loopscope.yaml'), `data_dir: "${join(folder, 'data')}"\n`);
    return work(file, folder);
  });

const replay = (file: string, folder: string, ...argv: string[]) =>
  runCli(['replay', '--config', join(folder, 'loopscope.yaml'), file, ...argv]);

describe('a replay from a file', () => {
  test('needs nothing that runs, and says what it found', () =>
    withCassette(async (file, folder) => {
      const { code, stdout, stderr } = await replay(file, folder, '--strict');
      assert.equal(code, 0, stderr);
      assert.match(stderr, /desk r-1: 2 calls of models, 1 of tools/);
      assert.match(stderr, /mode exact: every answer and every result comes from the record/);
      assert.match(stdout, /followed the record to its end/);
      assert.match(stdout, /calls 2: 2 as recorded, 0 nearly, 0 otherwise; 0 recorded were not made/);
    }));

  test('refuses what contradicts itself, and live tools that are not safe, before anything is asked', () =>
    withCassette(async (file, folder) => {
      const refusals: [string[], number, RegExp][] = [
        [['--mode', 'exact', '--model', 'x'], 2, /With --mode exact every answer comes from the record/],
        [['--mode', 'odd'], 2, /expected exact, model or live/],
        [['--param', 'temperature'], 2, /--param: expected NAME=VALUE/],
        [['--prompt', join(folder, 'absent.md')], 1, /--prompt: cannot read/],
        [['--mode', 'live'], 1, /"look_up" is not marked safe in the registry.*--allow-writes look_up/],
        [['--mode', 'live', '--allow-writes', 'look_up'], 1, /"look_up" cannot be carried out/],
        [['--rule', 'x=('], 2, /--rule: expected NAME=REGEX/],
      ];
      for (const [argv, code, why] of refusals) {
        const result = await replay(file, folder, ...argv);
        assert.deepEqual([result.code, why.test(result.stderr)], [code, true], result.stderr);
        assert.equal(result.stdout, '');
      }
    }));

  test('by one’s own loop: that it asks nothing, fails or cannot be started is told', () =>
    withCassette(async (file, folder) => {
      const node = (code: string) => ['--json', '--', process.execPath, '-e', code];
      const kinds = async (...argv: string[]) => {
        const { code, stdout } = await replay(file, folder, ...argv);
        const { replays } = JSON.parse(stdout) as { replays: { divergences: { kind: string }[] }[] };
        return [code, replays[0]!.divergences.map(({ kind }) => kind)];
      };
      assert.deepEqual(await kinds(...node('console.log("not in the report")')), [1, ['call_not_made']]);
      const env = `const { LOOPSCOPE_REPLAY, LOOPSCOPE_RUN, OTEL_SDK_DISABLED, OPENAI_BASE_URL } = process.env;
        const told = [LOOPSCOPE_REPLAY, LOOPSCOPE_RUN, OTEL_SDK_DISABLED, /^http:..127.*loops.desk.v1$/.test(OPENAI_BASE_URL)];
        process.exit(told.join() === '1,r-1,true,true' ? 0 : 9);`;
      assert.deepEqual(await kinds(...node(env)), [1, ['call_not_made']]);
      assert.deepEqual(await kinds(...node('process.exit(7)')), [1, ['loop_failed', 'call_not_made']]);
      const absent = await replay(file, folder, '--', join(folder, 'no-such-program'));
      assert.match(absent.stderr, /The loop could not be started/);
      assert.equal(absent.code, 2);
    }));

  test('Ctrl-C ends one’s own loop with all that it started', () =>
    withCassette(async (file, folder) => {
      const pids = join(folder, 'pids');
      const loop = `
        const { spawn } = require('node:child_process');
        const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
        require('node:fs').writeFileSync(${JSON.stringify(pids)}, process.pid + ' ' + child.pid);
        process.on('SIGTERM', () => {});
        setInterval(() => {}, 1000);`;
      const main = join(import.meta.dirname, '../../src/main.ts');
      const argv = [
        main,
        'replay',
        '--config',
        join(folder, 'loopscope.yaml'),
        file,
        '--',
        process.execPath,
        '-e',
        loop,
      ];
      const cli = spawn(process.execPath, argv, { stdio: 'ignore' });
      const ended = new Promise((resolve) => cli.on('close', resolve));
      const started = (await until('the loop', () => readFileSync(pids, 'utf8'), 30_000))
        .split(' ')
        .map(Number);
      cli.kill('SIGINT');
      assert.equal(await ended, 1);
      for (const pid of started) await until(`process ${pid} to be gone`, () => isGone(pid));
    }));
});

/** Whether a process has ended; one that nobody has waited for yet has. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
