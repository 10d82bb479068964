import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import { DATASOURCE } from './words.ts';

/** What the data source makes of a result, by its numbers and by the name its editor knows. */
const SHAPES = {
  timeSeries: { format: 0, queryType: 'timeseries' },
  table: { format: 1, queryType: 'table' },
  trace: { format: 3, queryType: 'traces' },
} as const;

export type Shape = keyof typeof SHAPES;

/** A query to ClickHouse. */
export const target = (rawSql: string, shape: Shape, refId = 'A'): Builder<Dataquery> => ({
  build: () => ({
    datasource: DATASOURCE,
    editorType: 'sql',
    rawSql: rawSql.trim(),
    ...SHAPES[shape],
    pluginVersion: '4.20.0',
    refId,
    _implementsDataqueryVariant: () => {},
  }),
});
