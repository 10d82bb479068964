import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import * as sql from './queries/variables.ts';
import { DATASOURCE } from './words.ts';

/** Variables of dashboards. What is chosen of one narrows those behind it. */

export type Variable = Builder<sdk.VariableModel>;

export const datasource = (): Variable =>
  new sdk.DatasourceVariableBuilder('datasource').label('Data source').type(DATASOURCE.type);

/** One loop, or several and all of them. */
export const loop = (how: 'one' | 'many'): Variable => valuesOf('loop', 'Loop', sql.loop, how);

export const agent = (): Variable => valuesOf('agent', 'Agent', sql.agent, 'many');

export const requestModel = (): Variable => valuesOf('model', 'Model asked for', sql.requestModel, 'many');

export const servedModel = (): Variable => valuesOf('model', 'Model', sql.servedModel, 'many');

export const run = (): Variable => valuesOf('run', 'Run', sql.run, 'one');

function valuesOf(name: string, label: string, rawSql: string, how: 'one' | 'many'): Variable {
  const variable = new sdk.QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ refId: name, queryType: 'sql', editorType: 'sql', rawSql })
    .refresh(sdk.VariableRefresh.OnTimeRangeChanged)
    .sort(sdk.VariableSort.Disabled);
  return how === 'one'
    ? variable
    : variable
        .multi(true)
        .includeAll(true)
        .current({ selected: true, text: ['All'], value: ['$__all'] });
}
