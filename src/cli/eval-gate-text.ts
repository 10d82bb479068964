import type { Comparison, ItemChange } from '../../evals/gate/compare.ts';
import type { CliContext } from './context.ts';
import { count, decimal, UNKNOWN } from './format.ts';
import { type Column, printable, table } from './table.ts';

/** A comparison as people read it: what fell, item by item, what else they should know, and whether the gate is closed. */

const SHOWN_MAX = 30;

export function tellGate(
  { out }: CliContext,
  comparison: Comparison,
  reasons: readonly string[],
  { baseline, failOnRegression }: { baseline?: string; failOnRegression?: boolean },
): void {
  const { pairs, mean_before, mean_now, fell, rose, p_value, error, failed, missing, added, redefined } =
    comparison;
  const p = p_value === null ? UNKNOWN : p_value.toPrecision(2);
  out.line(
    `${count(pairs)} items compared with ${printable(baseline ?? '')}: mean ${decimal(mean_before)} before, ${decimal(mean_now)} now; ` +
      `${count(fell.length)} fell, ${count(rose.length)} rose, p = ${p}`,
  );
  for (const [what, n] of [
    ['not in the baseline', added],
    ['with another expected answer than in the baseline', redefined],
    ['of the baseline not answered', missing.length],
  ] as const)
    if (n > 0) out.line(`${count(n)} items ${what}`);
  if (fell.length > 0) {
    out.line();
    for (const line of table(out.paint, COLUMNS, fell.slice(0, SHOWN_MAX))) out.line(line);
    if (fell.length > SHOWN_MAX) out.line(`and ${count(fell.length - SHOWN_MAX)} more`);
  }
  for (const { item, error: why } of failed.slice(0, SHOWN_MAX))
    out.line(out.paint('red', printable(`${item}: ${why}`)));
  out.line();
  if (reasons.length > 0) out.line(out.paint('red', `refused: ${reasons.join('; ')}`));
  else if (comparison.verdict === 'regressed') out.line(out.paint('red', `scores fell (p ≤ ${error})`));
  else if (failOnRegression) out.line(out.paint('green', 'no regression'));
}

const COLUMNS: readonly Column<ItemChange>[] = [
  { header: 'fell', cell: ({ item }) => item },
  { header: 'before', align: 'right', cell: ({ before }) => decimal(before) },
  { header: 'now', align: 'right', cell: ({ now }) => decimal(now) },
  { header: 'why', cell: ({ reason }) => reason.slice(0, 100) },
];
