import * as common from '@grafana/grafana-foundation-sdk/common';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import type { StateLook } from './words.ts';

/** How values look: units, colours, links. The same in tables, figures and graphs. */

/** How the values of a column, or of a series, are shown. */
export interface Look {
  unit?: string;
  decimals?: number;
  color?: string;
  /** From which value on which colour; the first from the lowest on. */
  thresholds?: readonly (readonly [from: number | null, color: string])[];
  /** Words and colours for values. */
  states?: Readonly<Record<string, StateLook>>;
  /** Columns of tables only. */
  width?: number;
  link?: { title: string; url: string };
  /** A bar on a scale from 0 to 1. */
  bar?: boolean;
  noValue?: string;
  /** Further settings of the field, by Grafana's names. */
  more?: Readonly<Record<string, unknown>>;
}

export type Looks = Readonly<Record<string, Look>>;

/** Money, shares and times are the same everywhere. */
export const USD: Look = { unit: 'currencyUSD' };
export const SHARE: Look = { unit: 'percentunit', decimals: 0 };
export const SECONDS: Look = { unit: 's' };
export const MILLISECONDS: Look = { unit: 'ms' };
export const COUNT: Look = { unit: 'short' };
export const BYTES: Look = { unit: 'bytes' };

/** As overrides of a field. */
export function propertiesOf(look: Look): sdk.DynamicConfigValue[] {
  const { unit, decimals, color, thresholds, states, width, link, bar, noValue, more = {} } = look;
  const known: [string, unknown][] = [
    ['unit', unit],
    ['decimals', decimals],
    ['color', color && { mode: 'fixed', fixedColor: color }],
    ['thresholds', thresholds && { mode: 'absolute', steps: stepsOf(thresholds) }],
    ['mappings', states && mappingsOf(states)],
    ['custom.width', width],
    ['links', link && [{ ...link, targetBlank: false }]],
    ['min', bar ? 0 : undefined],
    ['max', bar ? 1 : undefined],
    ['custom.cellOptions', cellOf(look)],
    ['noValue', noValue],
  ];
  return [...known, ...Object.entries(more)]
    .filter(([, value]) => value !== undefined)
    .map(([id, value]) => ({ id, value }));
}

const cellOf = ({ bar, states, thresholds, width }: Look) => {
  if (bar)
    return {
      type: common.TableCellDisplayMode.Gauge,
      mode: common.BarGaugeDisplayMode.Basic,
      valueDisplayMode: common.BarGaugeValueMode.Text,
    };
  if (width === undefined) return undefined;
  if (states)
    return {
      type: common.TableCellDisplayMode.ColorBackground,
      mode: common.TableCellBackgroundDisplayMode.Basic,
    };
  return thresholds && { type: common.TableCellDisplayMode.ColorText };
};

export const stepsOf = (thresholds: NonNullable<Look['thresholds']>): sdk.Threshold[] =>
  thresholds.map(([value, color]) => ({ value, color }));

export const mappingsOf = (states: NonNullable<Look['states']>): sdk.ValueMapping[] => [
  {
    type: sdk.MappingType.ValueToText,
    options: Object.fromEntries(
      Object.entries(states).map(([value, { text, color }], index) => [value, { text, color, index }]),
    ),
  },
];
