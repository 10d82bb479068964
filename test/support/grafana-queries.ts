import { expandMacros, type QueryTime } from './grafana-macros.ts';
import { fillIn, type Values } from './grafana-variables.ts';

/** The queries of a dashboard as they reach ClickHouse. */

/** As much of a dashboard's JSON as is read here. */
export interface DashboardJson {
  uid: string;
  title: string;
  panels: PanelJson[];
  templating: { list: VariableJson[] };
  annotations: { list: AnnotationJson[] };
  links: { title: string; url?: string; keepTime: boolean }[];
}

export interface PanelJson {
  id: number;
  title: string;
  type: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: TargetJson[];
  interval?: string;
  options?: object;
  fieldConfig?: { defaults: { custom?: object }; overrides: OverrideJson[] };
}

export interface OverrideJson {
  matcher: { id: string; options: string };
  properties: { id: string; value: unknown }[];
}

export interface TargetJson {
  refId: string;
  rawSql: string;
  format: number;
}

export interface VariableJson {
  name: string;
  type: string;
  query: string | { rawSql: string };
}

export interface AnnotationJson {
  name: string;
  builtIn?: number;
  target?: { rawSql?: string };
}

/** What the data source makes of a result. */
export const FORMAT = { timeSeries: 0, table: 1, logs: 2, trace: 3 } as const;

export interface PanelQuery {
  panel: PanelJson;
  refId: string;
  format: number;
  sql: string;
}

/** Every query of every panel. The points of a graph are no closer than its panel says. */
export const panelQueries = (dashboard: DashboardJson, time: QueryTime, values: Values): PanelQuery[] =>
  dashboard.panels.flatMap((panel) =>
    (panel.targets ?? []).map(({ refId, format, rawSql }) => ({
      panel,
      refId,
      format,
      sql: expand(
        rawSql,
        { ...time, intervalMs: Math.max(time.intervalMs, durationMs(panel.interval)) },
        values,
      ),
    })),
  );

/** A query of anything else: a variable's, an annotation's, an alert rule's. */
export const expand = (rawSql: string, time: QueryTime, values: Values): string =>
  expandMacros(fillIn(rawSql, values), time);

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function durationMs(text: string | undefined): number {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text ?? '0s') ?? [];
  if (n === undefined) throw new Error(`expected an interval such as 30s, got ${text}`);
  return Number(n) * UNIT_MS[unit!]!;
}
