import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { writeEndpoints } from '../../src/cli/endpoints.ts';
import type { Check } from '../../src/cli/health-checks.ts';
import { systemClock } from '../../src/clock.ts';
import { collectorAuthorities } from '../../src/collector-trust.ts';
import { loadConfig } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { latestRuns } from '../../src/store/runs.ts';
import { ROLES, startSystem } from '../../src/system.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { chatCompletion, json, startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';

function selfSigned(folder: string, name: string): void {
  const args = `-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout ${join(folder, name)}.key -out ${join(folder, name)}.pem`;
  execFileSync('openssl', ['req', ...args.split(' ')], { stdio: 'pipe' });
}

test('with a self-signed certificate the gateway, import and doctor reach the collector of the same settings', async () => {
  await inFolder(async (folder) => {
    selfSigned(folder, 'cert');
    selfSigned(folder, 'other');
    const clickhouse = await startTestStore();
    const provider = await startScriptedProvider(json(chatCompletion('fine')));
    const path = join(folder, 'loopscope.yaml');
    const settings = (collector: string) =>
      writeFileSync(
        path,
        [
          'data_dir: data',
          `clickhouse: { url: "${clickhouse.url}" }`,
          'gateway: { port: 0 }',
          `collector: { port: 0, grpc_port: 0, tls: { cert_file: cert.pem, key_file: cert.key }${collector} }`,
          'evals: { port: 0 }',
          'providers:',
          `  openai: { base_url: "${provider.url}/v1" }`,
          `  anthropic: { base_url: "${provider.url}" }`,
        ].join('\n'),
      );
    settings('');
    const config = loadConfig(path, {});
    const system = await startSystem({
      config,
      roles: ROLES,
      clock: systemClock(),
      log: pino({ level: 'silent' }),
    });
    const { gateway, collector } = system.endpoints;
    assert.match(collector!, /^https:/);
    try {
      writeEndpoints(config.data_dir, { pid: process.pid, collector });
      const answer = await fetch(`${gateway}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: 'Bearer sk-test',
          'x-loop': 'nightly',
          'x-loop-run': 'over-tls',
        },
        body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] }),
      });
      assert.equal(answer.status, 200);
      await system.settled();
      const records = join(folder, 'runs.jsonl');
      const ts = new Date().toISOString();
      writeFileSync(records, JSON.stringify({ loop: 'nightly', run: 'imported', ts, model: 'gpt-4o' }));
      const imported = await runCli(['import', records, '--config', path]);
      assert.equal(imported.code, 0, imported.stderr);
      const runs = await latestRuns(clickhouse.store, { loop: 'nightly', limit: 10 });
      assert.deepEqual(runs.map(({ runId }) => runId).sort(), ['imported', 'over-tls']);

      const collectorCheck = async () => {
        const { stdout } = await runCli(['doctor', '--json', '--config', path]);
        const { checks } = JSON.parse(stdout) as { checks: Check[] };
        return {
          collector: checks.find(({ name }) => name === 'collector')!.state,
          spool: checks.some(({ name }) => name === 'spool'),
        };
      };
      assert.deepEqual(await collectorCheck(), { collector: 'ok', spool: true });
      settings(', ca_file: other.pem');
      assert.deepEqual(await collectorCheck(), { collector: 'fail', spool: false }, 'signed by someone else');
    } finally {
      await system.close();
      await provider.close();
      await clickhouse.close();
    }
    assert.throws(
      () => collectorAuthorities({ ca_file: join(folder, 'absent.pem'), tls: undefined }),
      (error) =>
        error instanceof LoopscopeError &&
        error.code === 'config_invalid' &&
        /collector\.ca_file: .*absent\.pem/.test(error.message),
    );
  });
});
