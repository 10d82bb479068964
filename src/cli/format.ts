/** Figures as people read them. What is not known is `–`, never 0. */

export const UNKNOWN = '–';

const or = <T>(value: T | null | undefined, show: (value: T) => string): string =>
  value === null || value === undefined ? UNKNOWN : show(value);

/** 12,345 */
export const count = (n: number | null | undefined): string => or(n, (v) => v.toLocaleString('en-US'));

/** A share in [0,1] as 93 %; the ends only where it is exactly there. */
export const percent = (share: number | null | undefined): string =>
  or(share, (v) => {
    const rounded = Math.round(v * 100);
    if (rounded === 100 && v < 1) return '99.9 %';
    if (rounded === 0 && v > 0) return '0.1 %';
    return `${rounded} %`;
  });

/** Dollars with as many digits as small amounts need. */
export const usd = (amount: number | null | undefined): string =>
  or(amount, (v) => {
    if (v === 0) return '$0';
    if (v >= 100) return `$${v.toLocaleString('en-US', { maximumFractionDigits: 0 })}`;
    if (v >= 0.1) return `$${v.toFixed(2)}`;
    return `$${v.toPrecision(2)}`;
  });

/** A number of at most two decimals. */
export const decimal = (n: number | null | undefined): string =>
  or(n, (v) => String(Math.round(v * 100) / 100));

/** 350 ms, 4.2 s, 3 min 05 s, 2 h 10 min */
export function duration(ms: number | null | undefined): string {
  return or(ms, (v) => {
    if (v < 1) return `${v.toFixed(2)} ms`;
    if (v < 1_000) return `${Math.round(v)} ms`;
    if (v < 60_000) return `${(v / 1_000).toFixed(1)} s`;
    const minutes = Math.floor(v / 60_000);
    if (minutes < 60) return `${minutes} min ${String(Math.floor((v % 60_000) / 1_000)).padStart(2, '0')} s`;
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  });
}

/** 2026-11-03 09:15:02, in UTC */
export const time = (ms: number | null | undefined): string =>
  or(ms, (v) => new Date(v).toISOString().slice(0, 19).replace('T', ' '));

/** An instant as documents have it. */
export const iso = (ms: number): string => new Date(ms).toISOString();

/** The first few of a list and how many more there are. */
export function some(items: readonly string[], shown = 2): string {
  if (items.length === 0) return UNKNOWN;
  const more = items.length - shown;
  return items.slice(0, shown).join(', ') + (more > 0 ? ` +${more}` : '');
}
