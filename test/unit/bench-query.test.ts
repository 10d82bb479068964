import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthExponent } from '../../bench/query/measure.ts';
import { benchQueries, readDashboards } from '../../bench/query/panels.ts';
import { alertRules } from '../support/alert-rules.ts';

test('an exponent is the slope of times over sizes, both logarithmic; of one size there is none', () => {
  const of = (ms: (size: number) => number) =>
    growthExponent([1, 3, 10].map((size) => ({ size, ms: [ms(size), ms(size) * 10, ms(size)] })));
  assert.ok(Math.abs(of((size) => 5 * size)! - 1) < 1e-9);
  assert.ok(Math.abs(of(() => 7)!) < 1e-9);
  assert.ok(Math.abs(of((size) => Math.sqrt(size))! - 0.5) < 1e-9);
  assert.equal(growthExponent([{ size: 1, ms: [5] }]), null);
  assert.equal(growthExponent([{ size: 1, ms: [] }]), null);
});

test('every panel with a query, every variable and every alert rule is measured, under a name of its own', () => {
  const queries = benchQueries(Date.UTC(2026, 10, 1), 'run-00000001');
  const names = queries.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.equal(names.filter((name) => name.startsWith('rule_')).length, alertRules().length);
  for (const { uid, panels } of readDashboards()) {
    const dashboard = uid.replace('loopscope-', '');
    const targets = panels.reduce((sum, panel) => sum + (panel.targets?.length ?? 0), 0);
    const measured = names.filter((name) => name.startsWith(`${dashboard}_`) && !name.includes('_variable_'));
    assert.equal(measured.length, dashboard === 'run' ? targets : 2 * targets, dashboard);
  }
  for (const { name, sql } of queries) assert.doesNotMatch(sql, /\$\{|\$__/, name);
});
