import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { settle, type Tale } from '../../evals/alerts.ts';
import type { Alarm } from '../../evals/detect/report.ts';
import type { Alert } from '../../src/store/alerts.ts';
import { alarm, runTime } from '../support/alarm.ts';

const NOW = Date.UTC(2026, 0, 2);

const tale = (of: Alarm, rest: Partial<Tale> = {}): Tale => ({
  alarm: of,
  joined: [],
  recovery: null,
  alertId: null,
  ...rest,
});
const recovered = (at_run: number) => ({ at: runTime(at_run), at_run });

const JOINED = { kind: 'no_effect', at: runTime(31), at_run: 31, e_value: 5 };

/** What a loop has been told, kept as the store would. */
class Book {
  alerts: Alert[] = [];

  /** Tells until nothing changes, and gives what was told. */
  tell(tales: Tale[], isFresh = false): string[] {
    const told: string[] = [];
    const { changes, alertIds } = settle('primes', tales, this.alerts, { now: NOW, isFresh });
    assert.equal(alertIds.length, tales.length);
    for (const { alert, revision } of changes) {
      const at = this.alerts.findIndex(({ alert_id }) => alert_id === alert.alert_id);
      if (at >= 0) this.alerts[at] = alert;
      else this.alerts.push(alert);
      told.push(`${revision ? 'joined' : alert.state} ${alert.kind} ${alert.change_at_run}`);
    }
    const linked = tales.map((one, i) => ({ ...one, alertId: alertIds[i]! }));
    for (const [same, fresh] of [[linked, false] as const, [tales, isFresh] as const])
      assert.deepEqual(
        settle('primes', same, this.alerts, { now: NOW, isFresh: fresh }).changes,
        [],
        'telling it again changes nothing',
      );
    return told;
  }
}

test('an alarm is told once, and its recovery once', () => {
  const book = new Book();
  assert.deepEqual(book.tell([]), []);
  assert.deepEqual(book.tell([tale(alarm(30, 20))]), ['firing golden_drop 20']);
  assert.deepEqual(book.tell([tale(alarm(30, 20))]), []);
  const over = [tale(alarm(30, 20), { recovery: recovered(50) })];
  assert.deepEqual(book.tell(over), ['resolved golden_drop 20']);
  assert.equal(book.alerts[0]!.evidence['recovered_at_run'], 50);
  assert.deepEqual(book.tell(over), []);
});

test('what later runs show of the moment and the cause is kept with the alert, and nobody is told', () => {
  const told = [tale(alarm(30, 20), { joined: [JOINED] })];
  const [first] = settle('primes', told, [], { now: NOW, isFresh: false }).changes;
  const judged: Alarm = { ...alarm(30, 25), cause: { dimension: 'prompt', from: 'v1', to: 'v2' } };
  const again = [{ ...told[0]!, alertId: first!.alert.alert_id, judged }];
  const { changes } = settle('primes', again, [first!.alert], { now: NOW, isFresh: false });
  assert.equal(changes.length, 1);
  const { alert, revision } = changes[0]!;
  assert.ok(revision, 'it is no change of state');
  assert.deepEqual(
    [alert.state, alert.started_at, alert.change_at_run, alert.cause, alert.evidence['joined']],
    ['firing', first!.alert.started_at, 25, judged.cause, [JOINED]],
  );
});

test('a second episode gets an alert of its own, also beside the end of the first', () => {
  const book = new Book();
  book.tell([tale(alarm(30, 20))]);
  const tales = [tale(alarm(30, 20), { recovery: recovered(50) })];
  assert.deepEqual(book.tell(tales), ['resolved golden_drop 20']);
  assert.deepEqual(book.tell([tale(alarm(90, 80))]), ['firing golden_drop 80']);
});

test('an episode that was over before anybody looked is raised and resolved', () => {
  const over = [tale(alarm(30, 20), { recovery: recovered(50) })];
  assert.deepEqual(new Book().tell(over), ['firing golden_drop 20', 'resolved golden_drop 20']);
});

test('what falls by the same change joins the alert, which ends when all of it is well', () => {
  const book = new Book();
  book.tell([tale(alarm(30, 20))]);
  const effects = alarm(45, 25, 'no_effect');
  assert.deepEqual(book.tell([tale(alarm(30, 20)), tale(effects)]), ['joined golden_drop 20']);
  assert.deepEqual(book.alerts[0]!.evidence['joined'], [
    { kind: 'no_effect', at: runTime(45), at_run: 45, e_value: 12_345.6 },
  ]);
  assert.deepEqual(book.tell([tale(alarm(30, 20), { recovery: recovered(60) }), tale(effects)]), []);
  const well = [tale(alarm(30, 20), { recovery: recovered(60) }), tale(effects, { recovery: recovered(70) })];
  assert.deepEqual(book.tell(well), ['resolved golden_drop 20']);
  assert.equal(book.alerts.length, 1);
  assert.equal(book.alerts[0]!.evidence['recovered_at_run'], 70);
});

test('what the detector itself joined is in the first telling, and added when it comes later', () => {
  const joined = [{ kind: 'checker_drift', at: runTime(33), at_run: 33, e_value: 20_000 }];
  const book = new Book();
  assert.deepEqual(book.tell([tale(alarm(30, 20), { joined })]), ['firing golden_drop 20']);
  assert.deepEqual(book.alerts[0]!.evidence['joined'], joined);
  const more = [...joined, { kind: 'no_effect', at: runTime(36), at_run: 36, e_value: 20_000 }];
  assert.deepEqual(book.tell([tale(alarm(30, 20), { joined: more })]), ['joined golden_drop 20']);
  assert.deepEqual(book.alerts[0]!.evidence['joined'], more);
});

test('another change pages though an alert of another kind is open, and another of its kind does not', () => {
  const book = new Book();
  book.tell([tale(alarm(30, 20))]);
  const later = tale(alarm(90, 80, 'no_effect'));
  assert.deepEqual(book.tell([tale(alarm(30, 20)), later]), ['firing no_effect 80']);
  // As a second suite of the loop may say it.
  const sameKind = tale(alarm(95, 85));
  assert.deepEqual(book.tell([tale(alarm(30, 20)), later, sameKind]), ['joined golden_drop 20']);
});

test('a history that was read again finds its alerts: moved, resolved, or with nothing to stand on', () => {
  const moved = new Book();
  moved.tell([tale(alarm(30, 20))]);
  assert.deepEqual(moved.tell([tale(alarm(33, 22))], true), []);
  const over = tale(alarm(33, 22), { recovery: recovered(50), alertId: moved.alerts[0]!.alert_id });
  assert.deepEqual(moved.tell([over]), ['resolved golden_drop 20']);
  assert.deepEqual(moved.tell([tale(alarm(36, 24))], true), [], 'the same episode, told to be over');

  const gone = new Book();
  gone.tell([tale(alarm(30, 20))]);
  assert.deepEqual(gone.tell([], true), ['resolved golden_drop 20']);
  assert.equal(gone.alerts[0]!.evidence['withdrawn'], true);

  const kept = new Book();
  kept.tell([tale(alarm(30, 20))]);
  assert.deepEqual(kept.tell([]), [], 'without a history nothing is taken back');
});

test('alerts of other kinds, and those of probes, are none of ours', () => {
  const book = new Book();
  const model = { alert_id: 'm', kind: 'model_retired', state: 'firing', evidence: {} } as unknown as Alert;
  const probe = { alert_id: 'p', kind: 'golden_drop', state: 'firing', evidence: { source: 'probe' } };
  book.alerts.push(model, probe as unknown as Alert);
  assert.deepEqual(book.tell([], true), []);
  assert.deepEqual(book.tell([tale(alarm(30, 20))]), ['firing golden_drop 20']);
});

test('the same alarm has the same id on every machine', () => {
  const id = () =>
    settle('primes', [tale(alarm(30, 20))], [], { now: NOW, isFresh: false }).changes[0]!.alert.alert_id;
  assert.equal(id(), id());
  assert.match(id(), /^[0-9a-f]{16}$/);
});

test('whatever was stored of a telling that was cut off, telling it again ends at the same alerts', () => {
  const kinds: Alarm['kind'][] = ['golden_drop', 'checker_drift', 'no_effect', 'output_collapse'];
  const anyTale = fc
    .record({ kind: fc.constantFrom(...kinds), at: fc.integer({ min: 1, max: 200 }), back: fc.nat(30) })
    .chain(({ kind, at, back }) =>
      fc
        .option(fc.integer({ min: 1, max: 50 }), { nil: undefined })
        .map((after) =>
          tale(
            alarm(at, Math.max(0, at - back), kind),
            after === undefined ? {} : { recovery: recovered(at + after) },
          ),
        ),
    );
  fc.assert(
    fc.property(fc.array(anyTale, { maxLength: 6 }), fc.nat(20), (tales, stored) => {
      const whole = new Book();
      whole.tell(tales);
      const cut = new Book();
      const { changes } = settle('primes', tales, [], { now: NOW, isFresh: false });
      for (const { alert } of changes.slice(0, stored)) {
        cut.alerts = cut.alerts.filter(({ alert_id }) => alert_id !== alert.alert_id);
        cut.alerts.push(alert);
      }
      cut.tell(tales);
      const byId = (a: Alert, b: Alert) => (a.alert_id < b.alert_id ? -1 : 1);
      assert.deepEqual(cut.alerts.sort(byId), whole.alerts.sort(byId));
    }),
  );
});
