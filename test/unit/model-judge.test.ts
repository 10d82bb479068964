import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelEvidence } from '../../evals/models/alert.ts';
import { servedModelChanges } from '../../evals/models/changes.ts';
import { judgeModels } from '../../evals/models/judge.ts';
import { modelAlertText } from '../../evals/models/message.ts';
import { daysUntil } from '../../evals/models/retiring.ts';
import type { Alert } from '../../src/store/alerts.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import { apply, circumstances, DAY, NOW, retirement, use } from '../support/model-uses.ts';

const changes = (uses: readonly ModelUse[]) =>
  servedModelChanges(uses).map(({ previous_model, served_model }) => [previous_model, served_model]);

test('another model that answers the same request is one event, with what answered before', () => {
  const events = servedModelChanges([
    use({ servedModel: 'gpt-4-0613', firstDay: 3 }),
    use({ servedModel: 'gpt-4-0314', firstDay: 90, lastDay: 3 }),
  ]);
  assert.equal(events.length, 1);
  const [{ event_id, ...event }] = events as [(typeof events)[0]];
  assert.match(event_id, /^[0-9a-f]{16}$/);
  assert.deepEqual(event, {
    at: NOW - 3 * DAY,
    kind: 'served_model_changed',
    loop: 'l',
    provider: 'openai',
    model: 'gpt-4-0613',
    requested_model: 'gpt-4',
    served_model: 'gpt-4-0613',
    previous_model: 'gpt-4-0314',
    retires_at: null,
    replacement: '',
    source: '',
    trace_id: 'first',
  });
});

test('what answered last before is the previous model, not what came first', () => {
  assert.deepEqual(
    changes([
      use({ servedModel: 'a', firstDay: 9, lastDay: 8 }),
      use({ servedModel: 'b', firstDay: 8, lastDay: 4 }),
      use({ servedModel: 'c', firstDay: 4 }),
    ]),
    [
      ['a', 'b'],
      ['b', 'c'],
    ],
  );
});

test('the first model of a loop, an alias and its snapshot, and a known model under another name are no change', () => {
  assert.deepEqual(changes([use({ servedModel: 'something-else' })]), []);
  // A second request is answered by its own snapshot.
  assert.deepEqual(
    changes([
      use({ firstDay: 5 }),
      use({ requestedModel: 'gpt-5', servedModel: 'gpt-5-2025-08-07', firstDay: 2 }),
    ]),
    [],
  );
  // The provider named the alias at first, and its snapshot later.
  assert.deepEqual(changes([use({ servedModel: 'gpt-4', firstDay: 5 }), use({ firstDay: 2 })]), []);
  // The loop knows the model already.
  assert.deepEqual(changes([use({ firstDay: 5 }), use({ requestedModel: 'smart', firstDay: 2 })]), []);
});

test('a request that is new and is answered by a stranger is a change', () => {
  const uses = [
    use({ firstDay: 5, lastDay: 1 }),
    use({ requestedModel: 'gpt-4o', servedModel: 'x-1', firstDay: 2 }),
  ];
  assert.deepEqual(changes(uses), [['gpt-4-0613', 'x-1']]);
});

test('calls that failed say nothing about which model answers', () => {
  assert.deepEqual(changes([use({ firstDay: 5 }), use({ outcome: 'failed', firstDay: 2 })]), []);
});

test('days are counted from day to day in UTC', () => {
  const at = (time: string) => daysUntil('2026-12-01', Date.parse(time));
  assert.equal(at('2026-11-30T23:59:59Z'), 1);
  assert.equal(at('2026-12-01T00:00:00Z'), 0);
  assert.equal(at('2026-12-02T00:00:00Z'), -1);
});

/** Judges the same uses on several days, each after the alerts of the day before; `at` gives the days after `NOW`. */
function days(uses: (day: number) => ModelUse[], retires: string, at: readonly number[]) {
  let alerts: Alert[] = [];
  return at.map((day) => {
    const now = NOW + day * DAY;
    const found = judgeModels(
      { loop: 'l', uses: uses(day), alerts },
      circumstances([retirement({ retires_at: retires })], now),
    );
    alerts = apply(alerts, found.alerts);
    const told = found.alerts.map(({ alert: { state, evidence } }) => {
      const { notice_days, resolved_because } = evidence as unknown as ModelEvidence & {
        resolved_because?: string;
      };
      return `${state} ${resolved_because ?? notice_days}`;
    });
    return [day, found.events.map(({ event_id }) => event_id).length, ...told];
  });
}

test('a model in use that retires is told of 30 days before, then 7 and 1, each once', () => {
  const daily = (day: number) => [use({ firstDay: 100, lastDay: -day })];
  assert.deepEqual(days(daily, '2026-12-31', [0, 4, 5, 27, 28, 29, 34, 35, 36]), [
    [0, 0],
    [4, 0],
    [5, 1, 'firing 30'],
    [27, 1],
    [28, 1, 'firing 7', 'resolved next_notice'],
    [29, 1],
    [34, 1, 'firing 1', 'resolved next_notice'],
    [35, 1],
    // The date is past and the model still answers: it may stop at any moment.
    [36, 0],
  ]);
});

test('a loop that goes on without the model is rid of its alert, one that uses it weekly is not', () => {
  const moved = (day: number) => [
    use({ firstDay: 100, lastDay: 0 }),
    use({ requestedModel: 'new', servedModel: 'new', firstDay: 0, lastDay: -day }),
  ];
  assert.deepEqual(days(moved, '2026-12-20', [0, 7, 8]), [
    [0, 1, 'firing 30'],
    [7, 1],
    [8, 0, 'resolved not_used'],
  ]);
  const silent = () => [use({ firstDay: 100, lastDay: 0 })];
  assert.deepEqual(days(silent, '2026-12-20', [0, 14, 15]), [
    [0, 1, 'firing 30'],
    [14, 1],
    [15, 0, 'resolved not_used'],
  ]);
});

test('a date that moves ends the alert of the old one', () => {
  const first = judgeModels(
    { loop: 'l', uses: [use({})], alerts: [] },
    circumstances([retirement({ retires_at: '2026-12-01' })]),
  );
  const [{ alert }] = first.alerts as [(typeof first.alerts)[0]];
  assert.deepEqual(alert.cause, { dimension: 'model', from: 'gpt-4-0613', to: 'gpt-5.6-sol' });
  assert.match(
    modelAlertText(alert),
    /^Loop l uses gpt-4-0613 \(openai\), which answers for gpt-4; it retires on 2026-12-01\. Recommended instead: gpt-5\.6-sol\. Source: https:\/\/example\.com/,
  );
  const later = judgeModels(
    { loop: 'l', uses: [use({})], alerts: [alert] },
    circumstances([retirement({ retires_at: '2027-06-01' })]),
  );
  assert.deepEqual(
    later.alerts.map((change) => [change.alert.state, change.alert.evidence['resolved_because']]),
    [['resolved', 'date_moved']],
  );
  assert.match(modelAlertText(later.alerts[0]!.alert), /^Resolved: l, gpt-4-0613 .*date of its retirement/);
});

test('an alias and its snapshot that retire are one notice, for the earlier date', () => {
  const found = judgeModels(
    { loop: 'l', uses: [use({})], alerts: [] },
    circumstances([retirement({}), retirement({ model: 'gpt-4' })]),
  );
  assert.deepEqual(
    found.events.map(({ model }) => model),
    ['gpt-4'],
  );
});

const notFound = (facts: Parameters<typeof use>[0]) => use({ outcome: 'not_found', ...facts });

function judge(uses: ModelUse[], alerts: Alert[], now = NOW) {
  return judgeModels({ loop: 'l', uses, alerts }, circumstances([], now));
}

test('a model that is gone fires until it answers again and stays calm, and fires anew when it goes again', () => {
  const gone = judge([use({ firstDay: 50, lastDay: 1 }), notFound({ firstDay: 0.5 })], []);
  assert.equal(gone.events.length, 1);
  assert.equal(gone.events[0]!.kind, 'model_not_found');
  const [{ alert }] = gone.alerts as [(typeof gone.alerts)[0]];
  assert.equal(alert.state, 'firing');
  assert.equal(alert.started_at, new Date(NOW - 0.5 * DAY).toISOString());
  assert.equal(alert.evidence['trace_id'], 'first');
  assert.match(modelAlertText(alert), /no such model.*No replacement is named/);

  // It answers a minute later, but that may be one of two servers.
  const minute = DAY / 1440;
  const answers = [use({ firstDay: 50, lastAt: NOW + minute }), notFound({ firstDay: 0.5 })];
  assert.deepEqual(judge(answers, [alert], NOW + minute).alerts, []);
  const calm = judge(answers, [alert], NOW + 60 * minute);
  assert.equal(calm.alerts[0]!.alert.state, 'resolved');
  assert.equal(calm.alerts[0]!.alert.resolved_at, new Date(NOW + minute).toISOString());
  const past = apply([alert], calm.alerts);
  assert.deepEqual(judge(answers, past, NOW + 60 * minute).alerts, []);

  const again = judge([answers[0]!, notFound({ firstDay: 0.5, lastAt: NOW + 2 * DAY })], past, NOW + 2 * DAY);
  assert.notEqual(again.alerts[0]!.alert.alert_id, alert.alert_id);
  assert.notEqual(again.events[0]!.event_id, gone.events[0]!.event_id);
});

test('a loop that asks for another model is rid of the alert for the one that is gone', () => {
  const fails = notFound({ firstDay: 0.1 });
  const [{ alert }] = judge([fails], []).alerts as [ReturnType<typeof judge>['alerts'][0]];
  const other = (days: number) =>
    use({ requestedModel: 'new', servedModel: 'new', firstDay: 0, lastAt: NOW + days * DAY });
  assert.deepEqual(judge([fails, other(0.9)], [alert], NOW + 0.9 * DAY).alerts, []);
  const moved = judge([fails, other(1)], [alert], NOW + DAY).alerts;
  assert.equal(moved[0]!.alert.evidence['resolved_because'], 'not_used');
  assert.deepEqual(judge([fails, other(1)], apply([alert], moved), NOW + DAY).alerts, []);
});

test('what was not found long ago is neither an event nor an alert', () => {
  const found = judge([notFound({ firstDay: 30, lastDay: 20 })], []);
  assert.deepEqual(found, { events: [], alerts: [], withheld: 0 });
});

test('a loop that asks for any number of models that are not there makes no more than ten pages', () => {
  const asked = Array.from({ length: 25 }, (_, n) =>
    notFound({ requestedModel: `made-up-${n}`, firstDay: 0.1 }),
  );
  const found = judgeModels({ loop: 'l', uses: asked, alerts: [] }, circumstances([]));
  assert.deepEqual([found.events.length, found.alerts.length, found.withheld], [25, 10, 15]);
  const more = judgeModels(
    { loop: 'l', uses: asked, alerts: found.alerts.map(({ alert }) => alert) },
    circumstances([]),
  );
  assert.deepEqual([more.alerts.length, more.withheld], [0, 15]);
});
