import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createNotifications, type NotificationContext } from '../../evals/notify/notify.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';

/** What stands under `alerts` in loopscope.yaml, and what is refused of it. */

const ENV = { SLACK: 'https://hooks.slack.example/services/T0/B0/s3cr3t', PD: 'k'.repeat(32), AM: 'token' };

function load(t: TestContext, alerts: string, env: Record<string, string> = ENV): Config {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-settings-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'loopscope.yaml');
  writeFileSync(file, `alerts:\n${alerts}`);
  return loadConfig(file, env);
}

test('receivers, routes, groups, silences and maintenance are read, secrets from the environment alone', (t) => {
  const { alerts } = load(
    t,
    `  receivers:
    am: { type: alertmanager, urls: [https://am-1.example, https://am-2.example/prefix], token_env: AM }
    chat: { type: slack, url_env: SLACK }
    oncall: { type: pagerduty, routing_key_env: PD }
    tickets: { type: webhook, url: "http://127.0.0.1:9/x" }
  routes:
    - { team: ml, severity: page, receivers: [oncall, chat] }
    - { loop: "nightly-*", kinds: [unmeasured], receivers: [] }
  default: [am]
  silences: [{ loop: primes, until: "2026-12-01T08:00:00+01:00", by: ana, reason: moving }]
  maintenance: [{ cron: "0 2 * * 0", timezone: Europe/Berlin, duration_m: 120, reason: weekly }]
`,
  );
  assert.equal(alerts.receivers['chat']!.secret, ENV.SLACK);
  assert.equal(alerts.receivers['oncall']!.secret, ENV.PD);
  assert.equal(alerts.receivers['am']!.secret, ENV.AM);
  assert.equal(alerts.receivers['tickets']!.secret, undefined);
  assert.equal(alerts.silences[0]!.until, Date.parse('2026-12-01T07:00:00Z'));
  assert.deepEqual([alerts.group_by, alerts.group_wait_s, alerts.group_interval_s], [['cause'], 30, 300]);
  assert.deepEqual(load(t, '  webhooks: []\n').alerts.receivers, Object.create(null));
});

const WRONG: [name: string, yaml: string, says: RegExp][] = [
  [
    'a receiver nobody knows',
    '  receivers: { a: { type: slack, url_env: SLACK } }\n  routes: [{ receivers: [b] }]\n',
    /loopscope\.yaml:3: alerts\.routes\.0\.receivers\.0: expected a name under alerts\.receivers \(found "b"\)/,
  ],
  [
    'a default nobody knows',
    '  default: [toString]\n',
    /alerts\.default\.0: expected a name under alerts\.receivers/,
  ],
  [
    'plain text to another machine',
    '  receivers:\n    am:\n      type: alertmanager\n      urls:\n        - https://am-1.example\n        - http://am-2.example\n',
    /loopscope\.yaml:7: alerts\.receivers\.am\.urls\.1: expected https, or http on this machine/,
  ],
  [
    'another kind of URL',
    '  receivers: { w: { type: webhook, url: "file:///etc/passwd" } }\n',
    /alerts\.receivers\.w\.url/,
  ],
  [
    'what looks like this machine',
    '  receivers: { w: { type: webhook, url: "http://127.0.0.1.example/x" } }\n',
    /expected https, or http on this machine/,
  ],
  [
    'a password in a URL',
    '  receivers: { w: { type: webhook, url: "https://u:p@hooks.example/x" } }\n',
    /without a user name or password/,
  ],
  [
    'a secret in the file',
    `  receivers: { s: { type: slack, url: "${ENV.SLACK}" } }\n`,
    /alerts\.receivers\.s\.url/,
  ],
  [
    'a kind of alert that is none',
    '  routes: [{ kinds: [golden_rise], receivers: [] }]\n',
    /alerts\.routes\.0\.kinds\.0/,
  ],
  [
    'a pattern that is none',
    '  silences: [{ loop: "a b", until: "2026-12-01T00:00:00Z", by: a, reason: b }]\n',
    /alerts\.silences\.0\.loop: expected the name of a loop, or a pattern/,
  ],
  ['a silence without an end', '  silences: [{ loop: a, by: a, reason: b }]\n', /alerts\.silences\.0\.until/],
  [
    'a window whose time is none',
    '  maintenance: [{ cron: "61 * * * *", duration_m: 5, reason: b }]\n',
    /alerts\.maintenance\.0\.cron: expected a cron pattern/,
  ],
  [
    'a time zone that is none',
    '  maintenance: [{ cron: "0 * * * *", timezone: Mars/Base, duration_m: 5, reason: b }]\n',
    /alerts\.maintenance\.0\.timezone: expected a time zone/,
  ],
  ['a misspelt field', '  group_wait: 5\n', /alerts\.group_wait: unknown field/],
];
for (const [name, yaml, says] of WRONG)
  test(`refused when the settings are read: ${name}`, (t) => {
    assert.throws(
      () => load(t, yaml),
      (error) => error instanceof LoopscopeError && error.exitCode === 2 && says.test(error.message),
    );
  });

test('http to others is allowed where the settings say so', (t) => {
  const { alerts } = load(
    t,
    '  receivers: { am: { type: alertmanager, urls: ["http://alertmanager:9093"], allow_http: true } }\n',
  );
  assert.equal(Object.keys(alerts.receivers).length, 1);
});

test('a URL that comes by a variable is held to the same, and is never shown', (t) => {
  const chat = '  receivers: { chat: { type: slack, url_env: SLACK } }\n';
  for (const SLACK of ['http://hooks.slack.example/s3cr3t', 's3cr3t', 'https://u:s3cr3t@hooks.example/'])
    assert.throws(
      () => load(t, chat, { SLACK }),
      (error) =>
        error instanceof LoopscopeError &&
        /^environment: SLACK \(alerts\.receivers\.chat\): expected/.test(error.message) &&
        !error.message.includes('s3cr3t'),
    );
});

test('without a secret that is named nothing starts; whoever does not send needs none', (t) => {
  const yaml = `  receivers:
    am: { type: alertmanager, urls: [https://am.example], token_env: AM }
    chat: { type: slack, url_env: SLACK }
    oncall: { type: pagerduty, routing_key_env: PD }
`;
  const { alerts: settings } = load(t, yaml, {});
  assert.throws(
    () => createNotifications({ settings } as unknown as NotificationContext),
    (error) =>
      error instanceof LoopscopeError &&
      error.code === 'config_invalid' &&
      [
        'receivers.am: token_env names AM',
        'receivers.chat: url_env names SLACK',
        'receivers.oncall: routing_key_env names PD',
      ].every((said) => error.message.includes(said)),
  );
});
