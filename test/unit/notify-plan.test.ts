import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Book } from '../../evals/notify/book.ts';
import { matchesLoop } from '../../evals/notify/glob.ts';
import { type Plan, plan } from '../../evals/notify/plan.ts';
import type { Notice, Receiver } from '../../evals/notify/receiver.ts';
import type { LoopDefinition } from '../../src/registry/loop.ts';
import type { AlertHistory, Told } from '../../src/store/alerts.ts';
import type { Silence } from '../../src/store/silences.ts';
import { alertSettings, at, CAUSE, historyOf, loopOf } from '../support/notify.ts';

/** Who is owed what, and when: no clock, no store, no network. */

const receiver = (grouped: boolean): Receiver => ({
  name: 'r',
  kind: grouped ? 'slack' : 'webhook',
  grouped,
  keyOf: ({ alert_id, state }) => `${alert_id}/${state}`,
  send: async () => ({ outcome: 'taken' }),
});
const RECEIVERS = { r: { type: 'slack', url_env: 'S' }, other: { type: 'slack', url_env: 'S' } };

interface Given {
  grouped?: boolean;
  settings?: Record<string, unknown>;
  loops?: Record<string, LoopDefinition>;
  silences?: Silence[];
  routeName?: string | undefined;
}

/** A receiver's view of a book that grows as it is told. */
class View {
  readonly told = new Map<string, Told>();
  readonly #given: Given;

  constructor(given: Given = {}) {
    this.#given = given;
  }

  plan(alerts: readonly AlertHistory[], nowS: number): Plan {
    const { grouped = true, settings = {}, loops = {}, silences = [] } = this.#given;
    const book: Book = { alerts, told: this.told, silences };
    return plan(book, {
      receiver: receiver(grouped),
      routeName: 'routeName' in this.#given ? this.#given.routeName : 'r',
      settings: alertSettings({ receivers: RECEIVERS, ...settings }, { S: 'https://hooks.example/x' }),
      loopOf: (loop) => loops[loop],
      settled: new Map(),
      now: at(nowS),
    });
  }

  /** Takes what is due. */
  take(alerts: readonly AlertHistory[], nowS: number): Notice[] {
    const { due } = this.plan(alerts, nowS);
    for (const { changes, groupId } of due)
      for (const { alert } of changes)
        this.told.set(`${alert.alert_id}/${alert.state}`, {
          delivery_key: `${alert.alert_id}/${alert.state}`,
          group_id: groupId,
          delivered_at: at(nowS),
        });
    return due;
  }
}
const changesOf = (notices: readonly Notice[]) =>
  notices.map(({ changes }) => changes.map(({ alert }) => `${alert.loop} ${alert.state}`).sort());
const fleet = (n: number, firedS: (i: number) => number, overS?: (i: number) => number) =>
  Array.from({ length: n }, (_, i) => historyOf(`l-${String(i).padStart(2, '0')}`, firedS(i), overS?.(i)));

test('twenty loops that fell by one cause are one notice, those that follow another, and the end is told at once', () => {
  const view = new View();
  const first = fleet(15, () => 0);
  assert.equal(view.plan(first, 29).due.length, 0, 'it waits for company');
  assert.equal(view.plan(first, 29).nextDueAt, at(30));
  assert.equal(view.plan(first, 29).owed, 15);
  const [one, ...others] = view.take(first, 30);
  assert.equal(others.length, 0);
  assert.equal(one!.changes.length, 15);

  const all = [...first, ...fleet(20, () => 60).slice(15)];
  assert.equal(view.plan(all, 100).due.length, 0);
  assert.equal(view.plan(all, 100).nextDueAt, at(330));
  const [next] = view.take(all, 330);
  assert.deepEqual([next!.changes.length, next!.members.length, next!.groupId], [5, 20, one!.groupId]);
  assert.notEqual(next!.key, one!.key);

  const half = fleet(20, (i) => (i < 15 ? 0 : 60)).map((history, i) =>
    i < 10 ? historyOf(history.firing.alert.loop, i < 15 ? 0 : 60, 400) : history,
  );
  assert.deepEqual(view.plan(half, 400).due, [], 'some that are well again can wait');
  const [some] = view.take(half, 630);
  assert.equal(some!.members.filter(({ alert }) => alert.state === 'firing').length, 10);
  const over = fleet(
    20,
    (i) => (i < 15 ? 0 : 60),
    () => 640,
  );
  const [end] = view.take(over, 640);
  assert.deepEqual([end!.changes.length, end!.members.length, end!.groupId], [10, 10, one!.groupId]);
  assert.deepEqual(view.take(over, 5_000), []);
  assert.equal(view.plan(over, 5_000).owed, 0);
});

test('an alert of another cause, or of none, is a group of its own; and so is the same cause after the end of the first', () => {
  const view = new View();
  const history = [
    historyOf('a', 0),
    historyOf('b', 0, undefined, { cause: { dimension: 'prompt', from: 'v1', to: 'v2' } }),
    historyOf('c', 0, undefined, { cause: null }),
    historyOf('d', 0, undefined, { cause: null }),
  ];
  const first = view.take(history, 30);
  assert.equal(first.length, 4);
  assert.equal(new Set(first.map(({ groupId }) => groupId)).size, 4);
  const later = [historyOf('a', 0, 100), ...history.slice(1), historyOf('e', 200)];
  view.take(later.slice(0, 4), 100);
  const [again] = view.take(later, 230);
  assert.deepEqual(changesOf([again!]), [['e firing']]);
  assert.ok(first.every(({ groupId }) => groupId !== again!.groupId));
});

test('a group is what the settings say that alerts have in common', () => {
  const loops = { a: loopOf({ team: 'ml' }), b: loopOf({ team: 'ml' }), c: loopOf({ team: 'web' }) };
  const history = [historyOf('a', 0), historyOf('b', 0, undefined, { cause: null }), historyOf('c', 0)];
  const groups = (group_by: string[]) =>
    changesOf(new View({ loops, settings: { group_by } }).plan(history, 30).due).sort();
  assert.deepEqual(groups(['team']), [['a firing', 'b firing'], ['c firing']]);
  assert.deepEqual(groups(['cause', 'team']), [['a firing'], ['b firing'], ['c firing']]);
  assert.deepEqual(groups(['loop']), [['a firing'], ['b firing'], ['c firing']]);
  assert.deepEqual(groups([]), [['a firing', 'b firing', 'c firing']]);
});

test('what later runs show of the cause moves no alert to another group', () => {
  const view = new View();
  const [first] = view.take([historyOf('a', 0), historyOf('b', 0)], 30);
  const judged = historyOf('a', 0, 400);
  const moved = {
    ...judged,
    resolved: { ...judged.resolved!, alert: { ...judged.resolved!.alert, cause: null } },
  };
  const [end] = view.take([moved, historyOf('b', 0, 400)], 400);
  assert.deepEqual([end!.groupId, end!.changes.length], [first!.groupId, 2]);
});

test('a silence holds back what is new and not what is over; what still fires at its end goes out, what is over by then never', () => {
  const silence = (given: Partial<Silence> = {}): Silence => ({
    id: 's',
    loop: 'n-*',
    kinds: [],
    from: at(0),
    until: at(1_000),
    by: 'ana',
    reason: 'moving',
    ...given,
  });
  const view = new View({ grouped: false, silences: [silence()] });
  const first = [historyOf('n-1', 10), historyOf('n-2', 10), historyOf('other', 10)];
  assert.deepEqual(changesOf(view.take(first, 20)), [['other firing']]);
  assert.deepEqual(view.plan(first, 20).silenced, ['id-n-1/firing', 'id-n-2/firing']);
  const history = [historyOf('n-1', 10), historyOf('n-2', 10, 500), historyOf('other', 10)];
  assert.deepEqual(view.take(history, 999), []);
  assert.deepEqual(changesOf(view.take(history, 1_000)), [['n-1 firing']]);

  const early = new View({ grouped: false, silences: [silence({ from: at(100) })] });
  assert.deepEqual(changesOf(early.take([historyOf('n-1', 10)], 20)), [['n-1 firing']]);
  assert.deepEqual(
    changesOf(early.take([historyOf('n-1', 10, 200)], 200)),
    [['n-1 resolved']],
    'who was told is told the end',
  );

  const kinds = new View({ grouped: false, silences: [silence({ kinds: ['no_effect'] })] });
  assert.deepEqual(changesOf(kinds.take([historyOf('n-1', 10)], 20)), [['n-1 firing']]);
  const set = { silences: [{ loop: 'n-?', until: '2026-03-01T09:10:00Z', by: 'ana', reason: 'moving' }] };
  const settings = new View({ grouped: false, settings: set });
  assert.deepEqual(settings.take([historyOf('n-1', 10)], 20), []);
  assert.deepEqual(changesOf(settings.take([historyOf('n-1', 10)], 600)), [['n-1 firing']]);
});

test('in a window of maintenance nobody is told, and after it of what still fires', () => {
  // 09:00 UTC is 10:00 in Berlin, on a Sunday.
  const maintenance = [
    { cron: '0 10 * * 0', timezone: 'Europe/Berlin', duration_m: 5, loop: 'n-*', reason: 'weekly' },
  ];
  const view = new View({ grouped: false, settings: { maintenance } });
  const history = [historyOf('n-1', 10), historyOf('m-1', 10)];
  assert.deepEqual(changesOf(view.take(history, 0)), [['m-1 firing']]);
  assert.deepEqual(view.take(history, 299), []);
  assert.deepEqual(changesOf(view.take(history, 300)), [['n-1 firing']]);
  const before = new View({ grouped: false, settings: { maintenance } });
  assert.equal(before.take(history, -1).length, 2, 'the window is not open yet');
});

test('the first route that an alert meets says who is told; severity comes of kind and registry', () => {
  const loops = {
    web: loopOf({ owner: 'web', team: 'web' }),
    quiet: loopOf({ owner: 'ml', severity: 'ticket' }),
    info: loopOf({ owner: 'ml', severity: 'info' }),
    gone: loopOf({ owner: 'ml' }),
    goes: loopOf({ owner: 'ml' }),
    dark: loopOf({ owner: 'ml' }),
  };
  const history = [
    historyOf('web', 0),
    historyOf('quiet', 0),
    historyOf('info', 0),
    historyOf('gone', 0, undefined, {
      kind: 'model_retired',
      evidence: {
        reason: 'not_found',
        provider: '',
        model: 'm',
        requested_model: 'm',
        replacement: '',
        source: '',
        retires_at: null,
        trace_id: '',
      },
    }),
    historyOf('goes', 0, undefined, {
      kind: 'model_retired',
      evidence: {
        reason: 'retires',
        provider: '',
        model: 'm',
        requested_model: 'm',
        replacement: '',
        source: '',
        retires_at: null,
        trace_id: '',
      },
    }),
    historyOf('dark', 0, undefined, { kind: 'unmeasured', evidence: { suite: 's', reason: 'not_run' } }),
    historyOf('nobody', 0),
  ];
  const toldOf = (routes: unknown[], rest?: string[], routeName: string | undefined = 'r') =>
    new View({ grouped: false, loops, routeName, settings: { routes, ...(rest && { default: rest }) } })
      .plan(history, 0)
      .due.map(({ changes }) => changes[0]!.alert.loop);
  const all = history.map(({ firing }) => firing.alert.loop);
  assert.deepEqual(toldOf([]), all);
  assert.deepEqual(toldOf([], ['other']), []);
  assert.deepEqual(toldOf([], []), []);
  assert.deepEqual(toldOf([{ severity: 'page', receivers: ['r'] }], []), ['web', 'gone', 'nobody']);
  assert.deepEqual(toldOf([{ severity: 'ticket', receivers: ['r'] }], []), ['quiet', 'goes', 'dark']);
  assert.deepEqual(toldOf([{ severity: 'info', receivers: ['r'] }], []), ['info']);
  assert.deepEqual(
    toldOf(
      [
        { team: 'web', receivers: ['other'] },
        { owner: 'web', receivers: ['r'] },
      ],
      [],
    ),
    [],
  );
  assert.deepEqual(toldOf([{ owner: 'ml', kinds: ['golden_drop'], receivers: ['r'] }], []), [
    'quiet',
    'info',
  ]);
  assert.deepEqual(toldOf([{ loop: '*o*', receivers: [] }]), ['web', 'quiet', 'dark']);
  const short = new View({ grouped: false, loops, routeName: undefined, settings: { default: [] } });
  assert.equal(short.plan(history, 0).due.length, history.length, 'the short form is told of every alert');
});

test('a receiver that is new, or was away for long, is told of what fires, and not of what was over long ago', () => {
  const view = new View({ grouped: false });
  const days = 86_400;
  const history = [historyOf('old', 0), historyOf('over', 0, 100), historyOf('recent', 0, 2 * days)];
  assert.deepEqual(changesOf(view.take(history, 8 * days)), [['old firing'], ['recent firing']]);
  assert.deepEqual(changesOf(view.take(history, 8 * days)), [['recent resolved']]);
  assert.deepEqual(
    view.plan(history, 8 * days).known.map(({ alert }) => `${alert.loop} ${alert.state}`),
    ['old firing', 'recent resolved'],
  );
});

test('a pattern matches as its regular expression does, and takes no time to speak of', () => {
  const text = fc.array(fc.constantFrom('a', 'b', '-', '.'), { maxLength: 8 }).map((parts) => parts.join(''));
  const pattern = fc
    .array(fc.constantFrom('a', 'b', '-', '.', '*', '?'), { maxLength: 6 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(pattern, text, (glob, loop) => {
      const source = glob.replace(/[.*?]/g, (sign) => (sign === '.' ? '\\.' : sign === '*' ? '.*' : '.'));
      assert.equal(matchesLoop(glob, loop), new RegExp(`^${source}$`).test(loop), `${glob} ${loop}`);
    }),
    { numRuns: 2_000 },
  );
  assert.equal(matchesLoop(`${'*a'.repeat(90)}b`, 'a'.repeat(200)), false);
});

test('whatever happens when, each change is told once, firing before resolved, and every group ends', () => {
  const life = fc.record({
    fired: fc.integer({ min: 0, max: 500 }),
    lasts: fc.integer({ min: 1, max: 500 }),
    cause: fc.constantFrom(CAUSE, null),
  });
  fc.assert(
    fc.property(
      fc.array(life, { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 }),
      (lives, steps) => {
        const view = new View();
        const notices: Notice[] = [];
        let now = 0;
        for (const step of [...steps, 2_000, 1_000, 1_000, 1_000]) {
          now += step;
          // Only what has happened by then stands in the book, in the order in which it was found.
          const book = lives
            .map(({ fired, lasts, cause }, i) => ({
              fired,
              history: historyOf(`l-${i}`, fired, fired + lasts <= now ? fired + lasts : undefined, {
                cause,
              }),
            }))
            .filter(({ fired }) => fired <= now)
            .sort((a, b) => a.fired - b.fired)
            .map(({ history }) => history);
          notices.push(...view.take(book, now));
        }
        const told = notices.flatMap(({ changes }) =>
          changes.map(({ alert }) => `${alert.loop} ${alert.state}`),
        );
        assert.equal(new Set(told).size, told.length, 'nothing is told twice');
        for (const i of lives.keys()) {
          assert.ok(told.includes(`l-${i} resolved`), `l-${i} is told to the end`);
          assert.ok(told.indexOf(`l-${i} firing`) < told.indexOf(`l-${i} resolved`));
        }
        const lastOf = new Map(notices.map((notice) => [notice.groupId, notice]));
        for (const { members } of lastOf.values())
          assert.ok(members.every(({ alert }) => alert.state === 'resolved'));
        assert.equal(new Set(notices.map(({ key }) => key)).size, notices.length);
      },
    ),
    { numRuns: 300 },
  );
});
