import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openSandbox } from '../../evals/scorers/command/sandbox.ts';
import { CommandSettings } from '../../evals/scorers/command/settings.ts';
import { makeScorer, scoreAnswer } from '../../evals/scorers/registry.ts';
import { ScorerDefinition } from '../../evals/suite.ts';
import { judgeServices } from '../support/judge.ts';
import { until } from '../support/until.ts';

/** Scripts live where nobody may read them too: run by root, the command runs as nobody. */
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'loopscope-command-tests-'));
  await chmod(directory, 0o755);
});
after(() => rm(directory, { recursive: true }));

const unavailable = await openSandbox(
  CommandSettings.parse({ run: ['true'] }),
  process.env['PATH'] ?? '',
).then(
  () => false as const,
  (error: Error) => error.message,
);
const sandboxed = (name: string, work: () => Promise<void>) => test(name, { skip: unavailable }, work);

const { services } = judgeServices('http://127.0.0.1:1', {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  NAMED: 'a value',
  SECRET_KEY: 'sk-hidden',
});
const command = (settings: object) =>
  makeScorer(ScorerDefinition.parse({ command: settings }), directory, services);
const score = async (settings: object, output = 'the answer', expected = 'the answer') => {
  const item = { id: 'i', input: 'the question', tags: [] };
  return scoreAnswer(command(settings), output, expected, item);
};
const scored = async (settings: object) => {
  const result = await score(settings);
  assert.ok('score' in result, JSON.stringify(result));
  return result;
};
const sh = (script: string) => ['/bin/sh', '-c', script];
const script = async (name: string, text: string) => {
  await writeFile(join(directory, name), text, { mode: 0o755 });
  return `./${name}`;
};

/** A process whose command line has `mark` in it, wherever it is. */
const isRunning = (mark: string) =>
  globSync('/proc/[0-9]*/cmdline').some((file) => {
    try {
      return readFileSync(file, 'latin1').includes(mark);
    } catch {
      return false; // it ended while we looked
    }
  });

sandboxed('exit code 0 is 1 and any other is 0, with the last line that was said', async () => {
  assert.deepEqual(await score({ run: ['true'] }), { score: 1, reason: '' });
  assert.deepEqual(await score({ run: sh('echo one; echo two >&2; exit 3') }), {
    score: 0,
    reason: 'exit code 3: two',
  });
  for (const signal of ['SEGV', 'ABRT', 'KILL'])
    assert.match(
      JSON.stringify(await score({ run: sh(`kill -${signal} $$`) })),
      new RegExp(`"score":0,"reason":"exit code \\d+ \\(SIG${signal}\\)`),
    );
});

sandboxed('the answer comes on stdin and in a file, beside what was expected and the question', async () => {
  const check = await script(
    'check.sh',
    `#!/bin/sh
     [ "$(cat)" = "$(cat output.txt)" ] && [ "$(cat expected.txt)" = yes ] && [ "$(cat input.txt)" = "the question" ] && touch made`,
  );
  assert.deepEqual(await score({ run: [check] }, 'a\nb', 'yes'), { score: 1, reason: '' });
  const unread = await score({ run: ['true'] }, 'x'.repeat(5_000_000));
  assert.deepEqual(unread, { score: 1, reason: '' }, 'stdin that nobody reads');
});

sandboxed('no shell reads the arguments', async () => {
  const result = await score({ run: ['printf', '%s\n', '0.5; echo 1 $(id)'], score: 'last_line' });
  assert.match('error' in result ? result.error : '', /^command_gave_no_score: .*0\.5; echo 1 \$\(id\)/);
});

sandboxed('the last line can be the score, and is an error where it is none', async () => {
  const lastLine = (line: string) => score({ run: ['printf', `note\n${line}\n`], score: 'last_line' });
  assert.deepEqual(await lastLine('0.25'), { score: 0.25, reason: '' });
  for (const line of ['1.5', 'NaN', 'passed', '-1'])
    assert.match(JSON.stringify(await lastLine(line)), /command_gave_no_score/, line);
  assert.match(JSON.stringify(await score({ run: ['true'], score: 'last_line' })), /command_gave_no_score/);
  assert.deepEqual(await score({ run: sh('echo 1; exit 1'), score: 'last_line' }), {
    score: 0,
    reason: 'exit code 1: 1',
  });
});

sandboxed('a program that is not there is an error of the suite, not of the answer', async () => {
  for (const run of [['no-such-program'], ['./missing.sh'], ['/etc/passwd']])
    assert.match(JSON.stringify(await score({ run })), /"error":"command_not_run/, run[0]);
});

sandboxed(
  'of our environment it has PATH and what the suite names, and it cannot read ours where that is kept',
  async () => {
    const result = await score({
      run: sh('env > all; [ "$NAMED" = "a value" ] && [ -z "$SECRET_KEY" ] && [ "$HOME" = "$PWD" ]'),
      env: ['NAMED', 'UNSET'],
    });
    assert.deepEqual(result, { score: 1, reason: '' });
    // The pattern does not match the command line it stands in.
    const spy = sh(
      'grep -qsa "sk-hidde[n]" /proc/[0-9]*/environ && exit 0; ls -d /proc/[0-9]* | wc -l; exit 9',
    );
    assert.match(JSON.stringify(await score({ run: spy })), /"score":0,"reason":"exit code 9: [3-6]"/);
    const ours = sh(`[ -e /proc/${process.pid} ]`);
    assert.equal(JSON.stringify(await score({ run: ours })), '{"score":0,"reason":"exit code 1"}');
  },
);

sandboxed('it has no network, not even our own', async () => {
  const server = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await until('the server listens', () => server.listening);
  const { port } = server.address() as AddressInfo;
  const call = `fetch('http://127.0.0.1:${port}').then(() => process.exit(0), () => process.exit(9))`;
  try {
    const result = await score({ run: [process.execPath, '-e', call] });
    assert.match(JSON.stringify(result), /"score":0,"reason":"exit code 9/);
  } finally {
    server.close();
  }
});

sandboxed('a command that ignores being asked to end is ended, with all that it started', async () => {
  const stubborn = 'trap "" TERM INT HUP; (setsid sleep 3171 &) ; sleep 3172 & while :; do sleep 3173; done';
  const result = await score({ run: sh(stubborn), timeout_s: 0.5 });
  assert.deepEqual(result, { score: 0, reason: 'not done within 0.5 s', flags: ['timeout'] });
  await until('nothing is left', () => !['3171', '3172', '3173'].some((s) => isRunning(`sleep\0${s}`)));
});

sandboxed('what a command leaves running when it ends is ended too', async () => {
  assert.deepEqual(await score({ run: sh('(setsid sleep 3181 >/dev/null 2>&1 &); sleep 3182 & exit 0') }), {
    score: 1,
    reason: '',
  });
  await until('nothing is left', () => !['3181', '3182'].some((s) => isRunning(`sleep\0${s}`)));
});

sandboxed('a fork bomb is contained', async () => {
  const bomb = await script('bomb.sh', '#!/bin/sh\nb() { b | b & }\nb\nsleep 3191\n');
  assert.equal((await scored({ run: [bomb], timeout_s: 2 })).score, 0);
  await until('nothing is left', () => !isRunning('bomb.sh'));
  assert.deepEqual(await score({ run: ['true'] }), { score: 1, reason: '' }, 'we can still start processes');
});

sandboxed(
  'a command that takes too much memory is ended, by itself or together with what it starts',
  async () => {
    const limit = { score: 0, reason: 'took more than 256 MB', flags: ['memory_limit'] };
    const hog = 'const kept = []; for (;;) kept.push(Buffer.alloc(16 << 20, 1));';
    assert.deepEqual(
      await score({ run: [process.execPath, '-e', hog], memory_mb: 256, timeout_s: 60 }),
      limit,
    );
    const eight = 'Buffer.alloc(64 << 20, 1); setTimeout(() => {}, 60_000)';
    const many = sh(`for i in 1 2 3 4 5 6 7 8; do ${process.execPath} -e '${eight}' & done; wait`);
    assert.deepEqual(await score({ run: many, memory_mb: 256, timeout_s: 60 }), limit);
    const modest = 'Buffer.alloc(64 << 20, 1)';
    assert.equal((await scored({ run: [process.execPath, '-e', modest], memory_mb: 256 })).score, 1);
  },
);

sandboxed('output without end ends the command, and memory does not grow with it', async () => {
  const result = await score({ run: ['yes'], timeout_s: 30 });
  assert.deepEqual(result, { score: 0, reason: 'wrote without end', flags: ['output_limit'] });
});

sandboxed('a file cannot grow without end, and its folder goes away', async () => {
  const folders = async () =>
    (await readdir(tmpdir())).filter((name) => /^loopscope-command-(?!tests)/.test(name));
  const before = await folders();
  const dd = ['dd', 'if=/dev/zero', 'of=big', 'bs=1M', 'count=200'];
  assert.match((await scored({ run: dd, timeout_s: 30 })).reason, /SIGXFSZ|File too large|File size limit/);
  assert.deepEqual(
    (await folders()).filter((name) => !before.includes(name)),
    [],
  );
});

sandboxed('closing ends a command under way, which is no score', async () => {
  const scorer = command({ run: ['sleep', '3201'] });
  const pending = scoreAnswer(scorer, 'a', 'b');
  await until('it runs', () => isRunning('sleep\x003201'));
  await scorer.close?.();
  assert.match(JSON.stringify(await pending), /"error":"scoring_stopped/);
  assert.match(JSON.stringify(await scoreAnswer(scorer, 'a', 'b')), /"error":"scoring_stopped/);
});

sandboxed(
  'where namespaces are not permitted there is no score, or one that says so where the suite allows it',
  async () => {
    const tools = join(directory, 'tools');
    await mkdir(tools);
    for (const tool of ['setpriv', 'prlimit', 'sh', 'true'])
      await symlink(`/usr/bin/${tool}`, join(tools, tool));
    const withPath = (path: string, isolation: string) => {
      const definition = ScorerDefinition.parse({ command: { run: ['true'], isolation } });
      const keyOf = (name: string) => (name === 'PATH' ? path : undefined);
      return scoreAnswer(makeScorer(definition, directory, { ...services, keyOf }), 'a', 'b');
    };
    assert.match(
      JSON.stringify(await withPath(tools, 'required')),
      /"error":"sandbox_unavailable: .*unshare/,
    );
    assert.deepEqual(await withPath(tools, 'where_permitted'), {
      score: 1,
      reason: '',
      flags: ['not_isolated'],
    });
    assert.match(
      JSON.stringify(await withPath('/nowhere', 'where_permitted')),
      /"error":"sandbox_unavailable/,
    );
  },
);

sandboxed('a command ends with us, however we end', async () => {
  const scorers = (file: string) => join(import.meta.dirname, '../../evals/scorers', file);
  await writeFile(
    join(directory, 'evaluator.ts'),
    `import { makeScorer } from ${JSON.stringify(scorers('registry.ts'))};
     import { ScorerDefinition } from ${JSON.stringify(scorers('definition.ts'))};
     makeScorer(ScorerDefinition.parse({ command: { run: ['sleep', '3211'], timeout_s: 300 } }), '.')('a', 'b');`,
  );
  const evaluator = spawn(process.execPath, [join(directory, 'evaluator.ts')], { stdio: 'ignore' });
  try {
    await until('the command runs', () => isRunning('sleep\x003211'), 30_000);
  } finally {
    evaluator.kill('SIGKILL');
  }
  await until('it is gone', () => !isRunning('sleep\x003211'));
});
