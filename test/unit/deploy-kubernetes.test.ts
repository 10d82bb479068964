import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadSuites } from '../../evals/suite.ts';
import { createContext } from '../../src/cli/context.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import {
  bytesOf,
  type Container,
  complaintsOf,
  type Kustomization,
  type Manifest,
  manifestsIn,
  type PodTemplate,
  readManifests,
  readYaml,
  selects,
} from '../support/manifests.ts';

const BASE = join(import.meta.dirname, '../../deploy/kubernetes/base');
const EXAMPLE = join(import.meta.dirname, '../../deploy/kubernetes/overlays/example');

const all = [...manifestsIn(BASE), ...manifestsIn(EXAMPLE)];
const of = (kind: string) => all.filter((manifest) => manifest.kind === kind);
const workloads = all.filter(({ spec }) => spec?.template) as (Manifest & {
  spec: { template: PodTemplate };
})[];
const pods = workloads.map(({ spec }) => spec.template);
const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;
const containerOf = ({ spec }: PodTemplate): Container => spec.containers[0]!;

/** Secrets by name, with the keys that the example gives them. */
const secrets = new Map(
  readYaml<Kustomization>(join(EXAMPLE, 'kustomization.yaml')).secretGenerator!.map(({ name, envs }) => [
    name,
    envs.flatMap((file) =>
      [...readFileSync(join(EXAMPLE, `${file}.example`), 'utf8').matchAll(/^([^=\n]+)=/gm)].map((m) => m[1]!),
    ),
  ]),
);

/** The settings as a container has them. */
function configOf(container: Container): Config {
  const env = Object.fromEntries(container.env.map(({ name }) => [name, valueFor(name)]));
  return loadConfig(join(BASE, 'config/loopscope.yaml'), env);
}
const valueFor = (name: string) =>
  name === 'LOOPSCOPE_CLICKHOUSE_URL'
    ? 'http://loopscope:p@clickhouse:8123'
    : name === 'LOOPSCOPE_REDIS_URL'
      ? 'redis://:p@redis:6379'
      : 'secret';

test('every object is valid by the schema of its kind, down to the last field', async () => {
  assert.ok(all.length > 15);
  // A patch is no whole object.
  for (const manifest of [...all, ...readManifests(join(EXAMPLE, 'gateway-size.yaml'))])
    if (manifest.kind !== 'HorizontalPodAutoscaler' || manifest.spec['maxReplicas'])
      assert.deepEqual(await complaintsOf(manifest), [], nameOf(manifest));
});

test('a misspelt field and a value of another type are noticed', async () => {
  const [gateway] = structuredClone(of('StatefulSet'));
  const { spec } = gateway!.spec.template!;
  Object.assign(spec.containers[0]!, { readynessProbe: {} });
  assert.deepEqual(await complaintsOf(gateway!), [
    '/spec/template/spec/containers/0/readynessProbe is no field',
  ]);
  spec.terminationGracePeriodSeconds = 'long' as unknown as number;
  assert.match((await complaintsOf(gateway!)).join(), /terminationGracePeriodSeconds/);
});

test('what a kustomization names is there', () => {
  for (const folder of [BASE, EXAMPLE]) {
    const k = readYaml<Kustomization>(join(folder, 'kustomization.yaml'));
    const files = [
      ...k.resources,
      ...(k.patches ?? []).map(({ path }) => path),
      ...(k.configMapGenerator ?? []).flatMap((g) => g.files),
    ];
    for (const file of files) assert.ok(existsSync(join(folder, file)), file);
    for (const { envs } of k.secretGenerator ?? [])
      for (const file of envs) {
        assert.ok(existsSync(join(folder, `${file}.example`)), file);
        assert.match(readFileSync(join(folder, '.gitignore'), 'utf8'), new RegExp(`^${file}$`, 'm'));
      }
  }
  for (const patch of readManifests(join(EXAMPLE, 'gateway-size.yaml')))
    assert.ok(
      all.some((one) => nameOf(one) === nameOf(patch)),
      nameOf(patch),
    );
  const base = readYaml<Kustomization>(join(BASE, 'kustomization.yaml')).images[0]!;
  assert.ok(
    manifestsIn(BASE).every((m) => !m.spec?.template || containerOf(m.spec.template).image === base.name),
  );
  const example = readYaml<Kustomization>(join(EXAMPLE, 'kustomization.yaml')).images[0]!;
  assert.equal(example.name, base.newName);
  assert.ok(
    manifestsIn(EXAMPLE).every(
      (m) => !m.spec?.template || containerOf(m.spec.template).image === example.name,
    ),
  );
});

test('selectors meet pods, and ports are those that the roles listen on', () => {
  for (const { metadata, spec } of workloads) {
    if (!spec['selector']) continue;
    assert.ok(selects(spec['selector'] as object, spec.template.metadata.labels), metadata.name);
  }
  for (const service of of('Service')) {
    const { selector, ports } = service.spec as {
      selector: Record<string, string>;
      ports: { targetPort: string; port: number }[];
    };
    const met = pods.filter((pod) => selects({ matchLabels: selector }, pod.metadata.labels));
    assert.equal(met.length, 1, nameOf(service));
    for (const { targetPort, port } of ports)
      assert.equal(
        containerOf(met[0]!).ports!.find(({ name }) => name === targetPort)?.containerPort,
        port,
        nameOf(service),
      );
  }
  for (const { metadata, spec } of of('StatefulSet'))
    assert.ok(
      of('Service').some((s) => s.metadata.name === spec['serviceName'] && s.spec['clusterIP'] === 'None'),
      metadata.name,
    );
  for (const budget of of('PodDisruptionBudget'))
    assert.equal(
      pods.filter((pod) => selects(budget.spec['selector'] as object, pod.metadata.labels)).length,
      1,
      nameOf(budget),
    );
  for (const { spec } of of('HorizontalPodAutoscaler')) {
    const { kind, name } = spec['scaleTargetRef'] as { kind: string; name: string };
    const target = all.find((m) => m.kind === kind && m.metadata.name === name)!;
    assert.equal(target.spec['replicas'], undefined, "how many there are is the autoscaler's to say");
  }
  for (const pod of pods) {
    const container = containerOf(pod);
    const { gateway, collector, evals } = configOf(container);
    const listened = [gateway.port, collector.port, collector.grpc_port, evals.port];
    for (const { containerPort } of container.ports ?? []) assert.ok(listened.includes(containerPort));
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe])
      if (probe) assert.ok(container.ports!.some(({ name }) => name === probe.httpGet.port));
  }
});

test('every pod runs as nobody special, on a file system that it cannot write, within limits', () => {
  for (const pod of pods) {
    const { runAsNonRoot, runAsUser, seccompProfile } = pod.spec.securityContext;
    assert.deepEqual(
      { runAsNonRoot, runAsUser, seccompProfile },
      { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
    );
    assert.equal(pod.spec.automountServiceAccountToken, false);
    for (const container of pod.spec.containers) {
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      assert.ok(bytesOf(container.resources.limits.memory) >= bytesOf(container.resources.requests.memory));
    }
  }
});

test('every role has a command, settings that are understood, and secrets that there are', () => {
  const commands = buildProgram(createContext()).commands.map((command) => command.name());
  for (const pod of pods) {
    const container = containerOf(pod);
    assert.ok(commands.includes(container.args[0]!), container.args[0]);
    const config = configOf(container);
    assert.ok(config.clickhouse.url && config.collector.token);
    for (const { name, valueFrom } of container.env) {
      const known = /^LOOPSCOPE_/.test(name)
        ? readFileSync(join(import.meta.dirname, '../../src/config.ts'), 'utf8').includes(`  ${name}: [`)
        : readFileSync(join(BASE, 'config/loopscope.yaml'), 'utf8').includes(`_env: ${name}`);
      assert.ok(known, `${name} means nothing`);
      const { name: secret, key } = valueFrom!.secretKeyRef;
      assert.ok(secrets.get(secret)?.includes(key), `${secret} has no ${key}`);
    }
    const claimed = workloads.find(({ spec }) => spec.template === pod)!.spec['volumeClaimTemplates'] as
      | { metadata: { name: string } }[]
      | undefined;
    const volumes = [
      ...pod.spec.volumes.map(({ name }) => name),
      ...(claimed ?? []).map(({ metadata }) => metadata.name),
    ];
    for (const mount of container.volumeMounts) assert.ok(volumes.includes(mount.name), mount.name);
    assert.equal(container.args[2], container.volumeMounts.find(({ name }) => name === 'config')!.mountPath);
  }
});

test('what is addressed by name is a Service that has that port', () => {
  const { collector, evals } = configOf(containerOf(pods[0]!));
  for (const address of [collector.url!, evals.gateway_url!]) {
    const { hostname, port } = new URL(address);
    const service = of('Service').find(({ metadata }) => metadata.name === hostname);
    assert.ok(
      (service!.spec['ports'] as { port: number }[]).some((p) => p.port === Number(port)),
      address,
    );
  }
});

test('disks hold the spools, and who ends has the time to', () => {
  for (const { metadata, spec } of of('StatefulSet')) {
    const config = configOf(containerOf(spec.template!));
    const { bytes_max } = metadata.name === 'gateway' ? config.gateway.spool : config.collector.spool;
    const [claim] = spec['volumeClaimTemplates'] as {
      spec: { resources: { requests: { storage: string } } };
    }[];
    assert.ok(bytesOf(claim!.spec.resources.requests.storage) >= 2 * bytes_max, metadata.name);
  }
  const gateway = of('StatefulSet').find(({ metadata }) => metadata.name === 'gateway')!;
  const { unready_s, drain_s } = configOf(containerOf(gateway.spec.template!)).gateway;
  assert.ok(unready_s >= 5, 'Services need a moment to hear of it');
  assert.ok(gateway.spec.template!.spec.terminationGracePeriodSeconds >= unready_s + drain_s + 10);
});

test('network policies meet pods, open ports that are listened on, and close all others', () => {
  const policies = of('NetworkPolicy') as (Manifest & {
    spec: { podSelector: object; policyTypes: string[]; ingress?: { ports: { port: number }[] }[] };
  })[];
  for (const pod of pods)
    for (const direction of ['Ingress', 'Egress'])
      assert.ok(
        policies.some(
          ({ spec }) =>
            selects(spec.podSelector, pod.metadata.labels) && spec.policyTypes.includes(direction),
        ),
        `${direction} of ${containerOf(pod).name}`,
      );
  for (const policy of policies) {
    const met = pods.filter((pod) => selects(policy.spec.podSelector, pod.metadata.labels));
    assert.ok(met.length > 0, nameOf(policy));
    const listened = met.flatMap((pod) =>
      (containerOf(pod).ports ?? []).map(({ containerPort }) => containerPort),
    );
    for (const { ports } of policy.spec.ingress ?? [])
      for (const { port } of ports) assert.ok(listened.includes(port), `${nameOf(policy)}: ${port}`);
  }
});

test('the loops and suites of the example are understood', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-example-'));
  try {
    for (const part of ['loops', 'suites']) {
      mkdirSync(join(folder, part));
      cpSync(join(EXAMPLE, part), join(folder, part), { recursive: true });
    }
    assert.deepEqual([...loadRegistry(folder).loops.keys()], ['primes']);
    assert.deepEqual(
      loadSuites(folder).map(({ suite }) => suite),
      ['primes-golden'],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
