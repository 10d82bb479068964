import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DASHBOARDS } from '../../deploy/grafana/source/dashboards.ts';
import { STATES } from '../../deploy/grafana/source/words.ts';
import { LOOP_STATES } from '../../evals/standing/loop-state.ts';
import type { DashboardJson, PanelJson } from '../support/grafana-queries.ts';
import { schemaComplaints } from '../support/grafana-schema.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/grafana/dashboards');

const NAMES = Object.keys(DASHBOARDS);
const read = (name: string) =>
  JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as DashboardJson;
const dashboards = Object.fromEntries(NAMES.map((name) => [name, read(name)]));
const every = Object.entries(dashboards);

test('what is checked in is what the code makes', () => {
  assert.deepEqual(readdirSync(FOLDER).sort(), NAMES.map((name) => `${name}.json`).sort());
  for (const [name, build] of Object.entries(DASHBOARDS))
    assert.deepEqual(
      dashboards[name],
      JSON.parse(JSON.stringify(build())),
      `${name}.json is not what it is made from. Run: node deploy/grafana/source/main.ts`,
    );
});

test("dashboards are what Grafana's own types say", async () => {
  assert.equal(await schemaComplaints(dashboards), '');
});

test('that check finds a wrong field and a wrong word', async () => {
  const broken = structuredClone(dashboards['fleet']!);
  Object.assign(broken.panels.find(({ type }) => type === 'timeseries')!.fieldConfig!.defaults.custom!, {
    showPoints: 'sometimes',
  });
  assert.match(await schemaComplaints({ broken }), /sometimes/);
});

test('addresses stay as they are, and nothing hangs on a data source of ours', () => {
  assert.deepEqual(
    every.map(([, { uid }]) => uid).sort(),
    ['fleet', 'gateway', 'loop', 'money', 'pipeline', 'run'].map((name) => `loopscope-${name}`),
  );
  for (const [name, dashboard] of every) {
    const [first] = dashboard.templating.list;
    assert.deepEqual(
      [first!.name, first!.type, first!.query],
      ['datasource', 'datasource', 'grafana-clickhouse-datasource'],
      name,
    );
    const uids = [...JSON.stringify(dashboard).matchAll(/"grafana-clickhouse-datasource","uid":"([^"]+)"/g)];
    assert.ok(uids.length > 0);
    assert.deepEqual([...new Set(uids.map(([, uid]) => uid))], [`$${'{datasource}'}`], name);
  }
});

/** Where links lead, by the dashboard they are on. */
const links = every.flatMap(([from, dashboard]) => [
  ...dashboard.links.map(({ url, keepTime }) => ({ from, url: url!, keepsTime: keepTime })),
  ...dashboard.panels
    .flatMap(fieldLinks)
    .map(({ url }) => ({ from, url, keepsTime: url.split('&').includes(`$${'{__url_time_range}'}`) })),
]);

function fieldLinks(panel: PanelJson): { url: string }[] {
  return (panel.fieldConfig?.overrides ?? []).flatMap(({ properties }) =>
    properties.filter(({ id }) => id === 'links').flatMap(({ value }) => value as { url: string }[]),
  );
}

test('every link leads to a dashboard that is there, with variables that it has, at the same time', () => {
  assert.ok(links.length >= 30, `only ${links.length} links`);
  for (const { from, url, keepsTime } of links) {
    const [, uid, query] = /^\/d\/([\w-]+)\?(.+)$/.exec(url) ?? [];
    const there = every.find(([, dashboard]) => dashboard.uid === uid)?.[1];
    assert.ok(there, `${from}: ${url}`);
    const parts = query!.split('&');
    assert.ok(keepsTime && parts.includes(`$${'{datasource:queryparam}'}`), url);
    for (const variable of parts.flatMap((part) => /^var-(\w+)=/.exec(part)?.[1] ?? []))
      assert.ok(
        there.templating.list.some(({ name }) => name === variable),
        `${uid} has no variable ${variable}`,
      );
  }
});

test('a link carries a variable of its own dashboard or a column of its own panel', () => {
  for (const [name, dashboard] of every)
    for (const panel of dashboard.panels)
      for (const { url } of fieldLinks(panel))
        for (const [, value] of url.matchAll(/var-\w+=\$\{([^}]+)\}/g)) {
          const column = /^__data\.fields\["(.+)"\]:percentencode$/.exec(value!)?.[1];
          const known = column
            ? panel.targets!.some(({ rawSql }) => rawSql.includes(`AS "${column}"`))
            : dashboard.templating.list.some((variable) => `${variable.name}:percentencode` === value);
          assert.ok(known, `${name} / ${panel.title}: ${value}`);
        }
});

test('looks are of columns that are there', () => {
  for (const [name, dashboard] of every)
    for (const panel of dashboard.panels)
      for (const { matcher } of panel.fieldConfig?.overrides ?? [])
        assert.ok(
          panel.targets!.some(({ rawSql }) => rawSql.includes(matcher.options)),
          `${name} / ${panel.title} has no ${matcher.options}`,
        );
});

test('states have the words of the program', () => {
  assert.deepEqual(Object.keys(STATES), [...LOOP_STATES]);
});

test('colours are named, so that they follow the theme', () => {
  for (const [name, dashboard] of every)
    assert.doesNotMatch(JSON.stringify(dashboard), /#[0-9a-f]{3,8}\b|rgba?\(/i, name);
});

test('panels fit into the width of a dashboard, and none lies on another', () => {
  for (const [name, dashboard] of every) {
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, `${name} / ${title}`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!taken.has(`${x},${y}`), `${name} / ${title} lies on another`);
          taken.add(`${x},${y}`);
        }
    }
  }
});
