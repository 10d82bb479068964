import { contentHash } from '../../src/records/normalize.ts';
import type { GoldenRow } from '../../src/store/golden.ts';
import type { ProbeJobRow, ProbeRow } from '../../src/store/probes.ts';
import { wrongAnswerFor } from './choose.ts';
import { fill } from './template.ts';
import type { Template } from './templates.ts';

/** One question of a job, as it is sent. */
export interface Planned extends Template {
  runId: string;
  item: GoldenRow;
  truth: ProbeRow['truth'];
}

const ID_PART_MAX = 60;

/**
 * The questions of a job to one agent: the maker is asked about each chosen item, the checker is shown its expected answer
 * and that of another item. `all` are the dataset's items. Their ids follow from the job's.
 */
export function plan(
  template: Template,
  chosen: readonly GoldenRow[],
  all: readonly GoldenRow[],
  job: ProbeJobRow,
): Planned[] {
  const one = (item: GoldenRow, nth: number, truth: ProbeRow['truth'], output?: string): Planned => ({
    ...template,
    runId: runIdOf(job, item, `${template.kind}/${truth}/${nth}`),
    item,
    truth,
    request: fill(template.request, { input: item.input, ...(output !== undefined && { output }) }),
  });
  if (template.kind === 'maker') return chosen.map((item, nth) => one(item, nth, ''));
  return chosen.flatMap((item, nth) => {
    const wrong = wrongAnswerFor(item, all, job.job_id);
    const right = one(item, nth, 'right', item.expected);
    return wrong === undefined ? [right] : [right, one(item, nth, 'wrong', wrong)];
  });
}

/** `probe-SUITE-ITEM-TIME-HASH`, in characters that a run id may have; the hash tells apart what these do not. */
function runIdOf({ job_id, suite, due_at }: ProbeJobRow, { item_id }: GoldenRow, which: string): string {
  const plain = (text: string) => text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, ID_PART_MAX);
  const at = new Date(due_at).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  return `probe-${plain(suite)}-${plain(item_id)}-${at}-${contentHash(`${job_id}\0${item_id}\0${which}`).slice(0, 8)}`;
}
