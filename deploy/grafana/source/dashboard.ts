import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import type { Panel } from './panels.ts';
import { target } from './target.ts';
import { datasource, type Variable } from './variables.ts';
import { addressOf, DATASOURCE, type DashboardName, placeholder, TITLES, uidOf } from './words.ts';

/** What all six dashboards have: an address that stays, the data source as a variable, and the way to the others. */
export interface Contents {
  description: string;
  from: string;
  variables: readonly Variable[];
  annotations?: readonly Builder<sdk.AnnotationQuery>[];
  panels: readonly Panel[];
}

/** Variables that a dashboard keeps on the way to another. */
const KEPT: Partial<Record<DashboardName, readonly string[]>> = { loop: ['loop'], run: ['loop'] };

export function dashboard(name: DashboardName, contents: Contents): sdk.Dashboard {
  const { description, from, variables, annotations = [], panels } = contents;
  const builder = new sdk.DashboardBuilder(`Loopscope / ${TITLES[name]}`)
    .uid(uidOf(name))
    .description(description)
    .tags(['loopscope'])
    .timezone('browser')
    .time({ from, to: 'now' })
    .refresh('1m')
    .tooltip(sdk.DashboardCursorSync.Crosshair)
    .variables([datasource(), ...variables])
    .annotations([...annotations])
    .links(linksFrom(name));
  for (const panel of panels) builder.withPanel(panel);
  const built = builder.build();
  const list = (built.templating?.list ?? []).map((variable) => without(variable, OF_OTHER_VARIABLES));
  return { ...built, templating: { list }, panels: (built.panels ?? []).map(asGrafanaHasIt) };
}

/** What the builders' defaults hold that Grafana's types do not know: of variables that are intervals, of older tables. */
const OF_OTHER_VARIABLES = ['auto', 'auto_min', 'auto_count'];
const OF_OLDER_TABLES = ['footer'];

type SomePanel = NonNullable<sdk.Dashboard['panels']>[number];

/** Grafana numbers panels that have no number, and not the same way each time. */
function asGrafanaHasIt(panel: SomePanel, index: number): SomePanel {
  const numbered = { ...panel, id: index + 1 };
  return 'options' in numbered
    ? { ...numbered, options: without(numbered.options, OF_OLDER_TABLES) }
    : numbered;
}

const without = <T extends object>(whole: T, keys: readonly string[]): T =>
  Object.fromEntries(Object.entries(whole).filter(([key]) => !keys.includes(key))) as T;

const linksFrom = (name: DashboardName): Builder<sdk.DashboardLink>[] =>
  (Object.keys(TITLES) as DashboardName[])
    .filter((other) => other !== name)
    .map((other) => {
      const kept = (KEPT[other] ?? []).filter((variable) => KEPT[name]?.includes(variable));
      const variables = Object.fromEntries(kept.map((v) => [v, placeholder(v, 'percentencode')]));
      return new sdk.DashboardLinkBuilder(TITLES[other])
        .type(sdk.DashboardLinkType.Link)
        .url(addressOf(other, variables))
        .keepTime(true)
        .icon('dashboard');
    });

/** Marks on every graph of a dashboard: the query's columns are time, title, text and tags. */
export const marks = (name: string, color: string, rawSql: string): Builder<sdk.AnnotationQuery> =>
  new sdk.AnnotationQueryBuilder()
    .name(name)
    .datasource(DATASOURCE)
    .enable(true)
    .iconColor(color)
    .target(target(rawSql, 'table', 'annotation'));
