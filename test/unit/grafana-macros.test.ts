// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Grafana's variables look like that
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expandMacros } from '../support/grafana-macros.ts';
import { fillIn } from '../support/grafana-variables.ts';

/** The examples that the ClickHouse data source documents and tests itself with. */
const TIME = {
  from: Date.parse('2014-11-12T11:45:26.123Z'),
  to: Date.parse('2015-11-12T11:45:26.456Z'),
  intervalMs: 20_000,
};

test('macros of time expand as the data source has them', () => {
  for (const [sql, expected] of [
    ['bar > $__fromTime', 'bar > toDateTime(1415792726)'],
    ['bar < $__toTime', 'bar < toDateTime(1447328726)'],
    ['$__fromTime_ms', 'fromUnixTimestamp64Milli(1415792726123)'],
    ['$__toTime_ms', 'fromUnixTimestamp64Milli(1447328726456)'],
    [
      'where $__timeFilter(cast(sth as timestamp) )',
      'where cast(sth as timestamp) >= toDateTime(1415792726) AND cast(sth as timestamp) <= toDateTime(1447328726)',
    ],
    [
      '$__timeFilter_ms(t)',
      't >= fromUnixTimestamp64Milli(1415792726123) AND t <= fromUnixTimestamp64Milli(1447328726456)',
    ],
    [
      '( date >= $__fromTime ) and ( date <= $__toTime ) limit 100',
      '( date >= toDateTime(1415792726) ) and ( date <= toDateTime(1447328726) ) limit 100',
    ],
    ['$__dateFilter(d)', "d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')"],
    [
      '$__dateTimeFilter(d, t)',
      "(d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')) AND (t >= toDateTime(1415792726) AND t <= toDateTime(1447328726))",
    ],
    ['$__timeInterval(col)', 'toStartOfInterval(toDateTime(col), INTERVAL 20 second)'],
    ['$__timeInterval_ms(col)', 'toStartOfInterval(toDateTime64(col, 3), INTERVAL 20000 millisecond)'],
    ['INTERVAL $__interval_s second', 'INTERVAL 20 second'],
  ] as const)
    assert.equal(expandMacros(sql, TIME), expected);
});

test('an interval below a second counts as one', () => {
  assert.equal(expandMacros('$__interval_s', { ...TIME, intervalMs: 200 }), '1');
});

test('what the data source does not know is refused, and so is a wrong number of arguments', () => {
  assert.throws(() => expandMacros('$__timeGroup(t)', TIME), /no macro/);
  assert.throws(() => expandMacros('$__timeFilter(a, b)', TIME), /takes 1 arguments, got 2/);
  assert.throws(() => expandMacros('$__timeFilter', TIME), /takes 1 arguments, got 0/);
});

test('variables are filled in as Grafana formats them', () => {
  const values = { one: "it's", many: ['a', "b'c"], every: { all: ['x', 'y'] } };
  for (const [sql, expected] of [
    ['$one', "it's"],
    ['${one}', "it's"],
    ['${one:sqlstring}', "'it''s'"],
    ['${one:singlequote}', "'it\\'s'"],
    ['IN ($many)', "IN ('a','b'c')"],
    ['IN (${many:sqlstring})', "IN ('a','b''c')"],
    ['IN (${many:singlequote})', "IN ('a','b\\'c')"],
    ['${every:csv}', 'x,y'],
    ['IN (${every:sqlstring})', "IN ('x','y')"],
    ['$__timeFilter(t)', '$__timeFilter(t)'],
  ] as const)
    assert.equal(fillIn(sql, values), expected);
  assert.throws(() => fillIn('$other', values), /has no value/);
  assert.throws(() => fillIn('${one:sparkles}', values), /no format/);
});

test('a condition on a variable of which all is chosen becomes true', () => {
  const sql =
    'WHERE $__conditionalAll(loop IN (${loop:sqlstring}), $loop) AND $__conditionalAll(m = $model, $model)';
  assert.equal(fillIn(sql, { loop: { all: ['a'] }, model: '' }), 'WHERE 1=1 AND 1=1');
  assert.equal(fillIn(sql, { loop: ['a', 'b'], model: '3' }), "WHERE loop IN ('a','b') AND m = 3");
  const named = '$__conditionalAll(loop IN (${loop:singlequote}), ${loop})';
  assert.equal(fillIn(named, { loop: { all: [] } }), '1=1');
});
