import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';

const HEAP = join(import.meta.dirname, '../../src/heap.ts');
/** Says of each thread what it is called and which priority it has: field 19 of its `stat`, whose second one is the name. */
const THREADS = `
  const { readdirSync, readFileSync } = await import('node:fs');
  const of = (thread) => readFileSync('/proc/self/task/' + thread + '/stat', 'utf8');
  const threads = readdirSync('/proc/self/task').map(of);
  console.log(JSON.stringify(threads.map((stat) => {
    const [, name, rest] = /\\((.*)\\) (.*)/s.exec(stat);
    return { name, nice: Number(rest.split(' ')[16]) };
  })));`;

const threads = (before: string): { name: string; nice: number }[] =>
  JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', before + THREADS], { encoding: 'utf8' }),
  );

describe('tidying memory behind the calls', { skip: process.platform !== 'linux' && 'only Linux' }, () => {
  it('gives V8 the time that calls leave, and nobody else less', () => {
    const ordinary = threads('');
    const lowered = threads(
      `(await import(${JSON.stringify(HEAP)})).tidyBehindCalls(0); await new Promise((resolve) => setTimeout(resolve, 100));`,
    );
    const own = ordinary.find(({ name }) => name === 'V8Worker')!.nice;
    assert.ok(own < 19, 'V8 has helpers, and they are like others');
    for (const { name, nice } of lowered) assert.equal(nice, name === 'V8Worker' ? 19 : own, name);
    assert.equal(
      lowered.filter(({ name }) => name === 'V8Worker').length,
      ordinary.filter(({ name }) => name === 'V8Worker').length,
    );
  });
});

test('V8 knows all that it is told', () => {
  const script = `const heap = await import(${JSON.stringify(HEAP)}); heap.letHeapGrow(); heap.tidyBehindCalls();`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.deepEqual([stdout, stderr, status], ['', '', 0]);
});
