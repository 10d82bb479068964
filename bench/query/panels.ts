import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alertRules, ruleSql } from '../../test/support/alert-rules.ts';
import { type DashboardJson, expand, panelQueries } from '../../test/support/grafana-queries.ts';
import type { Values } from '../../test/support/grafana-variables.ts';
import { BUSIEST_LOOP } from './fill.ts';

/** Every query that Grafana sends: of panels and variables of all dashboards, and of alert rules. */
export interface BenchQuery {
  name: string;
  sql: string;
}

const DASHBOARDS = join(import.meta.dirname, '../../deploy/grafana/dashboards');
const HOUR_MS = 3_600_000;

/** As Grafana chooses them for a panel of about a thousand points. */
const RANGES = [
  { name: '24h', ms: 24 * HOUR_MS, intervalMs: 60_000 },
  { name: '30d', ms: 720 * HOUR_MS, intervalMs: 1_800_000 },
] as const;

export const readDashboards = (): DashboardJson[] =>
  readdirSync(DASHBOARDS)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(DASHBOARDS, file), 'utf8')) as DashboardJson);

/** What is chosen: everything where several may be, else the busiest loop, and `run` of it. */
function valuesOf(dashboard: DashboardJson, run: string): Values {
  const chosen: Record<string, string> = { loop: BUSIEST_LOOP, run };
  return Object.fromEntries(
    dashboard.templating.list
      .filter(({ type }) => type === 'query')
      .map((variable) => {
        const all = 'includeAll' in variable && variable.includeAll === true;
        return [variable.name, all ? { all: [] } : (chosen[variable.name] ?? '')];
      }),
  );
}

/** The queries at `nowMs`; those of a run once, all others for the last day and the last month. */
export function benchQueries(nowMs: number, run: string): BenchQuery[] {
  const queries = readDashboards().flatMap((dashboard) => {
    const name = dashboard.uid.replace('loopscope-', '');
    const values = valuesOf(dashboard, run);
    return (name === 'run' ? RANGES.slice(1) : RANGES).flatMap((range) => {
      const time = { from: nowMs - range.ms, to: nowMs, intervalMs: range.intervalMs };
      const suffix = name === 'run' ? '' : `_${range.name}`;
      const panels = panelQueries(dashboard, time, values).map(({ panel, refId, sql }) => ({
        name: `${name}_${slug(panel.title)}${refId === 'A' ? '' : `_${refId}`}${suffix}`,
        sql,
      }));
      const variables = dashboard.templating.list.flatMap((variable) =>
        variable.type === 'query'
          ? {
              name: `${name}_variable_${variable.name}${suffix}`,
              sql: expand(sqlOf(variable.query), time, values),
            }
          : [],
      );
      return [...panels, ...variables];
    });
  });
  const rules = alertRules().map((rule) => ({
    name: slug(rule.uid.replace('loopscope', 'rule')),
    sql: ruleSql(rule, nowMs),
  }));
  return [...queries, ...rules];
}

const sqlOf = (query: string | { rawSql: string }) => (typeof query === 'string' ? query : query.rawSql);

const slug = (title: string) =>
  title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '');
