import type { Figures, Measured } from './bench.ts';
import type { Machine } from './machine.ts';

/** What a benchmark prints: one line of JSON, or a table. */
export interface Report extends Measured {
  name: string;
  machine: Machine;
}

const DIGITS = 4;

/** One line; numbers keep four significant digits, as no benchmark here knows more. */
export const jsonLine = ({ name, machine, conditions, figures, ratios }: Report): string =>
  JSON.stringify({ name, machine, conditions, figures: rounded(figures), ratios: rounded(ratios) });

/** A line a number, by its dotted name. */
export function tableText({ name, machine, conditions, figures, ratios }: Report): string {
  const sections: [string, [string, string][]][] = [
    ['machine', Object.entries(machine).map(([key, value]) => [key, String(value)])],
    ['conditions', Object.entries(conditions).map(([key, value]) => [key, String(value)])],
    ['figures', flat(figures)],
    ['ratios', flat(ratios)],
  ];
  const width = Math.max(...sections.flatMap(([, rows]) => rows.map(([key]) => key.length)));
  const lines = sections.flatMap(([title, rows]) => [
    '',
    title,
    ...rows.map(([key, value]) => `  ${key.padEnd(width)}  ${value}`),
  ]);
  return [name, ...lines].join('\n');
}

function flat(figures: Figures, prefix = ''): [string, string][] {
  return Object.entries(figures).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null
      ? flat(value, `${prefix}${key}.`)
      : [[prefix + key, value === null ? 'not measured' : String(round(value))] as [string, string]],
  );
}

function rounded(figures: Figures): Figures {
  return Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [
      key,
      typeof value === 'number' ? round(value) : value && rounded(value),
    ]),
  );
}

function round(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  return Math.abs(value) >= 10 ** DIGITS ? Math.round(value) : Number(value.toPrecision(DIGITS));
}
