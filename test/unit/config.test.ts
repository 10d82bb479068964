import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'loopscope-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function settings(text: string): string {
  const path = join(folder, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

const complaint = (text: string, env: Record<string, string> = {}): string => {
  const path = settings(text);
  let message = '';
  assert.throws(
    () => loadConfig(path, env),
    (error) => {
      assert.ok(error instanceof LoopscopeError && error.code === 'config_invalid' && error.exitCode === 2);
      message = error.message.replaceAll(path, 'FILE');
      return true;
    },
  );
  return message;
};

test('without a file the defaults hold: everything on loopback, on the ports that are documented', () => {
  const config = loadConfig(settings(''), {});
  assert.deepEqual(
    [
      config.gateway.host,
      config.gateway.port,
      config.collector.port,
      config.clickhouse.http_port,
      config.clickhouse.native_port,
    ],
    ['127.0.0.1', 4000, 4318, 8123, 9000],
  );
  assert.equal(config.registry, 'open');
  assert.equal(config.providers['openai']!.base_url, 'https://api.openai.com/v1');
});

test('a wrong key or value names the file, the line, the field and what stands there', () => {
  assert.match(complaint('gateway:\n  port: 4000\n  prot: 4001\n'), /^FILE:3: gateway\.prot: unknown field/);
  assert.match(complaint('registry: closed\n'), /^FILE:1: registry: .*\(found "closed"\)$/);
  assert.match(complaint('gateway:\n  port: 70000\n'), /^FILE:2: gateway\.port: .*\(found 70000\)$/);
  assert.match(complaint('a: [1\n'), /^FILE:\d+: /);
});

test('every complaint is told at once', () => {
  assert.equal(complaint('registry: closed\ngateway: { port: -1 }\n').split('\n').length, 2);
});

test('the environment wins over the file, and a wrong variable is named', () => {
  const config = loadConfig(settings('gateway: { port: 1 }\n'), {
    LOOPSCOPE_GATEWAY_PORT: '0',
    LOOPSCOPE_DATA_DIR: '/elsewhere',
    OPENAI_API_KEY: 'sk',
  });
  assert.equal(config.gateway.port, 0);
  assert.equal(config.data_dir, '/elsewhere');
  assert.equal(config.providers['openai']!.api_key, 'sk');
  assert.match(
    complaint('', { LOOPSCOPE_GATEWAY_PORT: 'many' }),
    /LOOPSCOPE_GATEWAY_PORT: .*\(found "many"\)/,
  );
});

test('a secret that is not there stops nobody from reading: only who sends alerts needs it', () => {
  const path = settings('alerts: { webhooks: [{ url: "http://127.0.0.1:1/x", secret_env: HOOK }] }\n');
  assert.deepEqual(loadConfig(path, {}).alerts.webhooks, [
    { url: 'http://127.0.0.1:1/x', secret_env: 'HOOK', secret: undefined },
  ]);
  assert.equal(loadConfig(path, { HOOK: 's' }).alerts.webhooks[0]!.secret, 's');
});

test('what was read cannot be changed', () => {
  const config = loadConfig(settings(''), {});
  assert.throws(() => {
    (config.gateway as { port: number }).port = 1;
  }, TypeError);
});
