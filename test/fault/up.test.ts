import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '../support/until.ts';

/** `kill -9` of any process of `loopscope up` is a normal way to stop: nothing is locked, lost or wrong after it. */
const MAIN = join(import.meta.dirname, '../../src/main.ts');
const RUNS = 40;

const folder = mkdtempSync(join(tmpdir(), 'loopscope-up-'));
const config = join(folder, 'loopscope.yaml');
const started = new Set<ChildProcess>();
after(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

writeFileSync(
  config,
  'data_dir: data\nclickhouse: { http_port: 0, native_port: 0 }\ngateway: { port: 0 }\ncollector: { port: 0, grpc_port: 0 }\nevals: { port: 0 }\n',
);
const records = join(folder, 'runs.jsonl');
writeFileSync(
  records,
  Array.from({ length: RUNS }, (_, i) => ({
    loop: 'nightly',
    run: `r-${i}`,
    ts: new Date(Date.now() - (RUNS - i) * 60_000).toISOString(),
    model: 'gpt-4o-mini',
    checker: { name: 'parses', version: 'v1', pass: i % 4 !== 0 },
    golden: { score: i % 2 },
    input_tokens: 10,
    output_tokens: 5,
    cost_usd: 0.01,
  }))
    .map((record) => `${JSON.stringify(record)}\n`)
    .join(''),
);

interface Up {
  child: ChildProcess;
  clickhousePid(): number;
}

async function up(): Promise<Up> {
  const child = spawn(process.execPath, [MAIN, 'up', '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.add(child);
  child.once('exit', () => started.delete(child));
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout! }), 'line'),
    once(child, 'exit').then(([code]) =>
      Promise.reject(new Error(`up ended with ${code} before it was ready`)),
    ),
  ])) as [string];
  assert.match(line, /^ready gateway=http\S+ collector=http\S+ clickhouse=http\S+$/);
  return { child, clickhousePid: () => childOf(child.pid!) };
}

/** The process that `pid` started: the embedded ClickHouse. */
function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean);
  assert.equal(children.length, 1, `expected one child of ${pid}, found ${children.join(', ') || 'none'}`);
  return Number(children[0]);
}

const isAlive = (pid: number): boolean => {
  try {
    // A zombie still has a number, and nothing else.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const loopscope = (...args: string[]) =>
  promisify(execFile)(process.execPath, [MAIN, '--config', config, ...args], { cwd: folder });

async function assertStatusIsRight(): Promise<void> {
  const { stdout } = await loopscope('status', '--json');
  const { loops } = JSON.parse(stdout) as {
    loops: {
      loop: string;
      runs: number;
      checker_pass_rate: number;
      cost_usd: number;
      golden: { n: number };
    }[];
  };
  assert.equal(loops.length, 1);
  const [nightly] = loops;
  assert.equal(nightly!.runs, RUNS);
  assert.equal(nightly!.checker_pass_rate, 0.75);
  assert.equal(nightly!.golden.n, RUNS);
  assert.ok(Math.abs(nightly!.cost_usd - RUNS * 0.01) < 1e-9);
}

test('whichever process of `up` is killed, the next `up` finds everything in order', async () => {
  let system = await up();
  await loopscope('import', records);
  await assertStatusIsRight();

  const clickhouse = system.clickhousePid();
  process.kill(clickhouse, 'SIGKILL');
  await until(
    'ClickHouse is started again',
    () => isAlive(system.child.pid!) && childlessOr(system) !== clickhouse,
    15_000,
  );
  await until(
    'it answers',
    () =>
      assertStatusIsRight().then(
        () => true,
        () => false,
      ),
    15_000,
  );

  const orphan = system.clickhousePid();
  process.kill(system.child.pid!, 'SIGKILL');
  await until('ClickHouse is gone with its parent', () => !isAlive(orphan), 5_000);

  system = await up();
  await assertStatusIsRight();
  await loopscope('import', records); // once more: nothing is counted twice
  await assertStatusIsRight();

  const last = system.clickhousePid();
  system.child.kill('SIGTERM');
  const [code] = (await once(system.child, 'exit')) as [number];
  assert.equal(code, 0);
  assert.equal(isAlive(last), false);
});

function childlessOr(system: Up): number | undefined {
  try {
    return system.clickhousePid();
  } catch {
    return undefined;
  }
}
