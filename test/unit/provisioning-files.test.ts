import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { alertRules, PROVISIONING, type RuleGroup, readProvisioning } from '../support/alert-rules.ts';

/** What Grafana makes of the provisioned files, as far as that can be told without one. */
interface ContactPoints {
  contactPoints: {
    name: string;
    receivers: { uid: string; type: string; settings: Record<string, string> }[];
  }[];
}

interface Route {
  receiver: string;
  object_matchers?: [string, string, string][];
  mute_time_intervals?: string[];
  routes?: Route[];
}

interface Policies {
  muteTimes: { name: string; time_intervals: { times: { start_time: string; end_time: string }[] }[] }[];
  policies: Route[];
}

const DATASOURCE = readProvisioning<{
  datasources: { uid: string; type: string; jsonData: Record<string, unknown>; secureJsonData: object }[];
}>('datasources/loopscope.yaml').datasources[0]!;

const routesOf = (route: Route): Route[] => [route, ...(route.routes ?? []).flatMap(routesOf)];

test('the data source is the reader, over HTTP, with traces by the OTel schema and its secrets from the environment', () => {
  const { type, jsonData, secureJsonData } = DATASOURCE;
  assert.equal(type, 'grafana-clickhouse-datasource');
  assert.equal(jsonData['username'], 'grafana');
  assert.equal(jsonData['protocol'], 'http');
  assert.deepEqual(secureJsonData, { password: '$CLICKHOUSE_PASSWORD' });
  const traces = jsonData['traces'] as Record<string, unknown>;
  assert.equal(traces['otelEnabled'], true);
  assert.equal(`${traces['defaultDatabase']}.${traces['defaultTable']}`, 'loopscope.otel_traces');
});

test('every rule asks the data source, holds its answer against a limit, and is quiet where there is nothing', () => {
  const rules = alertRules();
  assert.equal(new Set(rules.map(({ uid }) => uid)).size, rules.length);
  for (const { uid, condition, noDataState, labels, annotations, data } of rules) {
    const [query, threshold] = data;
    assert.match(uid, /^[a-z0-9-]{1,40}$/);
    assert.equal(query.datasourceUid, DATASOURCE.uid, uid);
    assert.equal(query.model.format, 1, uid);
    assert.equal(threshold.datasourceUid, '__expr__', uid);
    assert.equal(threshold.model.expression, query.refId, uid);
    assert.equal(condition, threshold.refId, uid);
    assert.equal(noDataState, 'OK', uid);
    assert.match(labels['severity']!, /^(page|ticket)$/, uid);
    assert.ok(annotations['summary'] && annotations['description'], uid);
    // A dollar sign would be a variable of Grafana's environment.
    assert.doesNotMatch(Object.values({ ...labels, ...annotations }).join(''), /\$/, uid);
  }
});

test('a ClickHouse that is away is one page', () => {
  const states = alertRules().map(({ execErrState }) => execErrState);
  assert.deepEqual(
    states.filter((state) => state !== 'KeepLast'),
    ['Alerting'],
  );
});

test('a group is looked at at least as often as its rules may have to wait', () => {
  const { groups } = readProvisioning<{ groups: RuleGroup[] }>('alerting/rules.yaml');
  const seconds = (text: string) =>
    Number.parseInt(text, 10) * { s: 1, m: 60, h: 3600 }[text.at(-1) as 's' | 'm' | 'h'];
  for (const { interval, rules } of groups)
    for (const { uid, for: wait } of rules) assert.equal(seconds(wait) % seconds(interval), 0, uid);
});

test('what Loopscope tells people by itself goes to nobody from Grafana; everything else goes to a receiver that is there', () => {
  const { contactPoints } = readProvisioning<ContactPoints>('alerting/contact-points.yaml');
  const { muteTimes, policies } = readProvisioning<Policies>('alerting/policies.yaml');
  const names = contactPoints.map(({ name }) => name);
  for (const { receiver } of policies.flatMap(routesOf)) assert.ok(names.includes(receiver), receiver);
  const [always] = muteTimes;
  assert.deepEqual(always!.time_intervals, [{ times: [{ start_time: '00:00', end_time: '24:00' }] }]);
  const [first] = policies[0]!.routes!;
  assert.deepEqual(first!.object_matchers, [['paged_by', '=', 'loopscope']]);
  assert.deepEqual(first!.mute_time_intervals, [always!.name]);
  const toldByLoopscope = alertRules().filter(({ labels }) => labels['paged_by'] === 'loopscope');
  assert.deepEqual(
    toldByLoopscope.map(({ uid }) => uid),
    ['loopscope-silent-failure', 'loopscope-retirement'],
  );
});

test('no file holds a secret: what is one comes from the environment', () => {
  const files = ['datasources', 'dashboards', 'alerting', 'examples'].flatMap((folder) =>
    readdirSync(join(PROVISIONING, folder)).map((file) => join(folder, file)),
  );
  assert.equal(files.length, 8);
  const secrets = files.flatMap((file) => [
    ...readFileSync(join(PROVISIONING, file), 'utf8').matchAll(
      /^\s*(password|url|integrationKey|authorization_credentials): (.*)$/gm,
    ),
  ]);
  assert.equal(secrets.length, 6);
  for (const [, , value] of secrets) assert.match(value!, /^\$[A-Z_]+$/);
});
