import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { expand } from './grafana-queries.ts';

/**
 * The provisioned alert rules, evaluated as Grafana does: the query's table becomes one alert a row, whose columns of text are
 * labels and whose one number is held against the limit.
 */
export const PROVISIONING = join(import.meta.dirname, '../../deploy/grafana/provisioning');

export const readProvisioning = <T>(file: string): T =>
  parse(readFileSync(join(PROVISIONING, file), 'utf8')) as T;

export interface AlertRule {
  uid: string;
  title: string;
  condition: string;
  for: string;
  noDataState: string;
  execErrState: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  data: [QueryNode, ThresholdNode];
}

interface QueryNode {
  refId: string;
  datasourceUid: string;
  relativeTimeRange: { from: number; to: number };
  model: { rawSql: string; format: number };
}

interface ThresholdNode {
  refId: string;
  datasourceUid: string;
  model: {
    type: string;
    expression: string;
    conditions: [{ evaluator: { type: 'gt' | 'lt'; params: [number] } }];
  };
}

export interface RuleGroup {
  name: string;
  interval: string;
  rules: AlertRule[];
}

export const alertRules = (): AlertRule[] =>
  readProvisioning<{ groups: RuleGroup[] }>('alerting/rules.yaml').groups.flatMap((group) => group.rules);

/** The rule's query as it reaches ClickHouse at `nowMs`. */
export const ruleSql = ({ data: [{ relativeTimeRange, model }] }: AlertRule, nowMs: number): string =>
  expand(
    model.rawSql,
    {
      from: nowMs - relativeTimeRange.from * 1000,
      to: nowMs - relativeTimeRange.to * 1000,
      intervalMs: 60_000,
    },
    {},
  );

export interface RuleTable {
  columns: { name: string; type: string }[];
  rows: Record<string, string | number | null>[];
}

/** What the query gives whoever reads dashboards. Throws what ClickHouse refuses it with. */
export async function queryAsGrafana(url: string, sql: string): Promise<RuleTable> {
  const answer = await fetch(
    `${url}/?user=grafana&default_format=JSON&output_format_json_quote_64bit_integers=0`,
    {
      method: 'POST',
      body: sql,
    },
  );
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  const { meta, data } = JSON.parse(text) as { meta: RuleTable['columns']; data: RuleTable['rows'] };
  return { columns: meta, rows: data };
}

/** The labels of the alerts that fire. */
export function firing(rule: AlertRule, { rows }: RuleTable): Record<string, string>[] {
  const { type, params } = rule.data[1].model.conditions[0].evaluator;
  return rows
    .filter(
      ({ value }) =>
        value !== null && (type === 'gt' ? Number(value) > params[0] : Number(value) < params[0]),
    )
    .map(({ value: _value, ...labels }) => labels as Record<string, string>);
}
