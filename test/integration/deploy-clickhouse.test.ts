import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { backUp } from '../../src/store/backup.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { restore } from '../../src/store/restore.ts';
import { applyRetention, readRetention } from '../../src/store/retention.ts';
import { freePorts } from '../../src/store/server-host.ts';
import { startRole } from '../support/role-process.ts';
import { insertSpans, runRows } from '../support/span-rows.ts';

/** The users that deploy/compose gives its ClickHouse, on a real one: they can do what they are for, and no more. */
const CONFIG = join(import.meta.dirname, '../../deploy/compose/clickhouse');
const HEALTHCHECK = join(import.meta.dirname, '../../deploy/docker/healthcheck.ts');
const clock = systemClock();
const dataDir = mkdtempSync(join(tmpdir(), 'loopscope-users-'));

let server: Embedded;
let role: Store;
let grafana: Store;

before(async () => {
  const folder = join(dataDir, 'clickhouse');
  for (const part of ['users.d', 'config.d']) mkdirSync(join(folder, part), { recursive: true });
  const users = readFileSync(join(CONFIG, 'users.xml'), 'utf8')
    .replace(/<password from_env="(\w+)"\/>/g, '<password>$1</password>')
    .replace('<default remove="remove"/>', ''); // the embedded server is served by it
  writeFileSync(join(folder, 'users.d', 'loopscope.xml'), users);
  const config = readFileSync(join(CONFIG, 'config.xml'), 'utf8')
    .replace(/<logger>.*<\/logger>/, '')
    .replace('<path>/backups/</path>', `<path>${join(dataDir, 'elsewhere')}/</path>`)
    .replace(
      '</clickhouse>',
      // As the configuration that ClickHouse's own packages and images come with.
      `<access_control_improvements>
         <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
         <table_engines_require_grant>true</table_engines_require_grant>
       </access_control_improvements></clickhouse>`,
    );
  writeFileSync(join(folder, 'config.d', 'loopscope.xml'), config);
  server = await startEmbedded({
    dataDir,
    httpPort: 0,
    nativePort: 0,
    memoryBytesMax: 2_000_000_000,
    clock,
    log: pino({ level: 'silent' }),
  });
  const as = (user: string, password: string) =>
    openStore({ url: server.url.replace('//', `//${user}:${password}@`) });
  role = as('loopscope', 'CLICKHOUSE_PASSWORD');
  grafana = as('grafana', 'GRAFANA_CLICKHOUSE_PASSWORD');
});
after(async () => {
  await role?.close();
  await grafana?.close();
  await server?.close();
  rmSync(dataDir, { recursive: true, force: true });
});

test('the user of the roles makes the schema, writes, sets lifetimes, backs up and restores', async () => {
  assert.ok((await migrate(role, clock)).length > 0);
  await insertSpans(role, runRows({ loop: 'l', run: 'r', at: clock.now(), pass: true }));
  await role.insert('messages', [{ hash: 'h', role: 'user', content: 'what was said' }]);
  await applyRetention(role, { traces_days: 30 } as Parameters<typeof applyRetention>[1]);
  assert.equal((await readRetention(role)).find(({ table }) => table === 'otel_traces')!.days, 30);
  const { folder } = await backUp(role, clock, { name: 'one' });
  assert.equal(folder, join(dataDir, 'elsewhere/'));
  const { short } = await restore(role, clock, { name: 'one', into: 'loopscope_look' });
  assert.deepEqual(short, []);
});

test('it reaches no other database, no file and no other server', async () => {
  for (const sql of [
    'CREATE DATABASE other',
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    "SELECT * FROM url('http://127.0.0.1:1', LineAsString)",
    'CREATE USER intruder',
    'SYSTEM SHUTDOWN',
  ])
    await assert.rejects(role.command(sql), /ACCESS_DENIED|UNSUPPORTED_METHOD|getcwd/, sql);
});

test('the user of Grafana reads runs and nothing that was said, and writes nothing', async () => {
  assert.equal((await grafana.query('SELECT * FROM loopscope.runs')).length, 1);
  await assert.rejects(grafana.query('SELECT * FROM loopscope.messages'), /ACCESS_DENIED/);
  await assert.rejects(grafana.query('SELECT * FROM loopscope.virtual_keys'), /ACCESS_DENIED/);
  await assert.rejects(grafana.command('TRUNCATE TABLE loopscope.runs'), /READONLY|ACCESS_DENIED/);
});

test('a container says whether its role lives, whatever its settings', async () => {
  const [port, grpc_port] = await freePorts(2);
  const collector = await startRole('collector', {
    collector: { port, grpc_port },
    clickhouse: { url: server.url },
  });
  const check = () => promisify(execFile)(process.execPath, [HEALTHCHECK, String(collector.child.pid)]);
  try {
    assert.equal((await check()).stdout, `http://127.0.0.1:${port}/healthz answers 200\n`);
    collector.child.kill('SIGSTOP');
    await assert.rejects(check(), (error: { code: number; stdout: string }) => {
      assert.equal(error.code, 1);
      assert.match(error.stdout, /does not answer/);
      return true;
    });
  } finally {
    collector.child.kill('SIGCONT');
    await collector.close();
  }
});
