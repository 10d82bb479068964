import { type ScoredItem, ScorerError } from '../scorer.ts';
import { isSameFamily } from './family.ts';
import type { JudgeModel } from './settings.ts';

/**
 * Refuses a judge of its maker's own family, unless the suite allows it. It is looked at twice: by the name the suite
 * gives, before anything is paid, and by the name of the model that answered, since a gateway may have sent
 * the question elsewhere. A maker whose model nobody knows is no kin of anybody.
 */
export function refuseKin(
  judge: string,
  item: ScoredItem | undefined,
  { same_family }: Pick<JudgeModel, 'same_family'>,
): void {
  const maker = item?.servedModel;
  if (same_family || !maker || !judge || !isSameFamily(judge, maker)) return;
  throw new ScorerError(
    'judge_same_family',
    `the judge ${judge} is of the family of ${maker}, whose answer it would judge; name a judge of another, or set \`same_family: true\``,
  );
}
