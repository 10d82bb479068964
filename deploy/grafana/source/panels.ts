import * as barchart from '@grafana/grafana-foundation-sdk/barchart';
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as text from '@grafana/grafana-foundation-sdk/text';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { type Look, type Looks, mappingsOf, propertiesOf, stepsOf } from './looks.ts';
import { type Shape, target } from './target.ts';
import { DATASOURCE, placeholder } from './words.ts';

/** Panels as all dashboards have them: what is said once here is the same everywhere. A dashboard is 24 wide. */

export type Panel = Builder<sdk.Panel>;

export interface Frame {
  title: string;
  /** Where the title does not say all of it. */
  description?: string;
  width: number;
  height: number;
  /** Points of a graph are no closer. */
  interval?: string;
}

interface Furnished {
  title(title: string): unknown;
  description(text: string): unknown;
  datasource(ref: typeof DATASOURCE): unknown;
  span(width: number): unknown;
  height(height: number): unknown;
  interval(interval: string): unknown;
  noValue(text: string): unknown;
  withTarget(query: Builder<Dataquery>): unknown;
  overrideByName(name: string, properties: sdk.DynamicConfigValue[]): unknown;
}

function furnish<P extends Furnished>(panel: P, frame: Frame, sql: string, shape: Shape, looks: Looks): P {
  panel.title(frame.title);
  panel.datasource(DATASOURCE);
  panel.span(frame.width);
  panel.height(frame.height);
  panel.withTarget(target(sql, shape));
  panel.noValue('–');
  if (frame.description) panel.description(frame.description);
  if (frame.interval) panel.interval(frame.interval);
  for (const [name, look] of Object.entries(looks)) panel.overrideByName(name, propertiesOf(look));
  return panel;
}

export interface GraphOptions {
  look?: Look;
  looks?: Looks;
  /** The column whose values are the series; without it each column of numbers is one. */
  series?: string;
  stacked?: boolean;
  logarithmic?: boolean;
  min?: number;
  max?: number;
}

/** Values over time. */
export function graph(frame: Frame, sql: string, options: GraphOptions = {}): Panel {
  const { look = {}, looks = {}, series, stacked = false, logarithmic = false, min, max } = options;
  const panel = furnish(new timeseries.PanelBuilder(), frame, sql, 'timeSeries', looks)
    .colorScheme(new sdk.FieldColorBuilder().mode(sdk.FieldColorModeId.PaletteClassicByName))
    .lineWidth(1)
    .fillOpacity(stacked ? 30 : 0)
    .showPoints(common.VisibilityMode.Auto)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    );
  if (look.unit) panel.unit(look.unit);
  if (look.decimals !== undefined) panel.decimals(look.decimals);
  if (look.thresholds) {
    panel.thresholds(
      new sdk.ThresholdsConfigBuilder().mode(sdk.ThresholdsMode.Absolute).steps(stepsOf(look.thresholds)),
    );
    panel.thresholdsStyle(
      new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed),
    );
  }
  if (series) panel.displayName(placeholder(`__field.labels.${series}`));
  if (stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group('A'));
  if (logarithmic)
    panel.scaleDistribution(
      new common.ScaleDistributionConfigBuilder().type(common.ScaleDistribution.Log).log(10),
    );
  if (min !== undefined) panel.min(min);
  if (max !== undefined) panel.max(max);
  return panel;
}

/** Rows. Columns are known by the names that the query gives them. */
export const grid = (frame: Frame, sql: string, looks: Looks = {}): Panel =>
  furnish(new table.PanelBuilder(), frame, sql, 'table', looks)
    .showHeader(true)
    .cellHeight(common.TableCellHeight.Sm)
    .filterable(true);

/** Large figures: the columns of one row. */
export const figures = (frame: Frame, sql: string, looks: Looks): Panel =>
  furnish(new stat.PanelBuilder(), frame, sql, 'table', looks)
    .colorScheme(new sdk.FieldColorBuilder().mode(sdk.FieldColorModeId.Thresholds))
    .thresholds(
      new sdk.ThresholdsConfigBuilder()
        .mode(sdk.ThresholdsMode.Absolute)
        .steps([{ value: null, color: 'text' }]),
    )
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('/.*/').values(false))
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .textMode(common.BigValueTextMode.ValueAndName)
    .justifyMode(common.BigValueJustifyMode.Auto)
    .orientation(common.VizOrientation.Vertical)
    .wideLayout(true);

/** A bar a column and row, side by side, on a scale from 0 to 1. */
export const shares = (frame: Frame, sql: string, x: string, looks: Looks): Panel =>
  furnish(new barchart.PanelBuilder(), frame, sql, 'table', looks)
    .xField(x)
    .unit('percentunit')
    .min(0)
    .max(1)
    .orientation(common.VizOrientation.Auto)
    .showValue(common.VisibilityMode.Never)
    .groupWidth(0.75)
    .barWidth(0.9)
    .xTickLabelMaxLength(18)
    .fillOpacity(70)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.None),
    );

/** States over time, a row a series. */
export const timeline = (
  frame: Frame,
  sql: string,
  series: string,
  states: NonNullable<Look['states']>,
): Panel =>
  furnish(new statetimeline.PanelBuilder(), frame, sql, 'timeSeries', {})
    .displayName(placeholder(`__field.labels.${series}`))
    .mappings(mappingsOf(states))
    .mergeValues(true)
    .showValue(common.VisibilityMode.Auto)
    .rowHeight(0.8)
    .fillOpacity(70)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(false),
    );

/** Grafana's trace view, for which there is no builder. */
export const traces = (frame: Frame, sql: string): Panel =>
  furnish(new sdk.PanelBuilder().type('traces').options({}), frame, sql, 'trace', {});

/** Words. */
export const prose = ({ title, width, height }: Frame, content: string): Panel =>
  new text.PanelBuilder()
    .title(title)
    .span(width)
    .height(height)
    .mode(text.TextMode.Markdown)
    .content(content);
