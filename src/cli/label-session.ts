import { label } from '../../evals/labels/label.ts';
import { waitingFor } from '../../evals/labels/waiting.ts';
import type { Clock } from '../clock.ts';
import type { Store } from '../store/client.ts';
import { labelQueue, type QueueEntry } from '../store/label-queue.ts';
import { type RunContent, runContent } from '../store/run-content.ts';
import { count, decimal } from './format.ts';
import { answerOf, KEYS_HELP, readLine } from './label-keys.ts';
import { screen, verdictText } from './label-screen.ts';
import type { Output } from './output.ts';

/**
 * A session at a terminal: the runs that wait for a rater, one after the other. Each label is stored when its key is
 * pressed, so that a session which breaks off has lost nothing.
 */
export interface LabelSession {
  store: Store;
  clock: Clock;
  out: Output;
  keys: AsyncIterator<string, void>;
  rater: string;
  loop?: string | undefined;
  showVerdict: boolean;
  /** Datasets in which a loop's runs may have their right answer. */
  datasetsOf: (loop: string) => readonly string[];
}

export interface SessionResult {
  labelled: number;
  /** Runs that still wait for this rater. */
  left: number;
}

/** The end of a comment that is written: a line of a terminal that wraps cannot be taken back. */
const COMMENT_SHOWN = 60;

/** What was done with a run of the queue, to be undone. */
interface Step {
  at: number;
  labelled: boolean;
}

type Choice = { kind: 'score'; score: number; comment: string } | { kind: 'skip' | 'undo' | 'quit' };

/** Runs the session to its end: the queue's, the input's, or when the rater says so. */
export async function labelSession(session: LabelSession): Promise<SessionResult> {
  const { store, clock, out, rater, loop, showVerdict, datasetsOf } = session;
  const queue = waitingFor(rater, await labelQueue(store, { loop }));
  const steps: Step[] = [];
  let at = 0;
  let labelled = 0;

  const say = (entry: QueueEntry, score: number | null, comment = '') =>
    label({ store, clock }, { loop: entry.loop, runId: entry.run_id, rater, score, comment });

  const undo = async () => {
    const step = steps.pop();
    if (!step) return out.note('There is nothing to undo.');
    at = step.at;
    if (!step.labelled) return;
    await say(queue[at]!, null);
    labelled--;
    out.line('taken back');
  };

  while (at < queue.length) {
    const entry = queue[at]!;
    const run = await runContent(store, {
      loop: entry.loop,
      runId: entry.run_id,
      datasets: datasetsOf(entry.loop),
    });
    if (run)
      for (const line of screen({ entry, run, n: at + 1, of: queue.length, showVerdict }, out.paint))
        out.line(line);
    const choice: Choice = run ? await choose(session) : { kind: 'skip' };
    if (choice.kind === 'quit') break;
    if (choice.kind === 'undo') {
      await undo();
      continue;
    }
    if (choice.kind === 'score') {
      await say(entry, choice.score, choice.comment);
      labelled++;
      out.line(said(choice, run!, session));
    }
    steps.push({ at, labelled: choice.kind === 'score' });
    at++;
  }
  out.progress('');
  return { labelled, left: queue.length - labelled };
}

/** Asks until a key means something. A comment goes with the score that follows it. */
async function choose({ out, keys }: LabelSession): Promise<Choice> {
  let comment = '';
  for (;;) {
    out.progress(KEYS_HELP);
    const { value } = await keys.next();
    const answer = answerOf(value ?? undefined);
    if (answer.kind === 'comment')
      comment =
        (await readLine(keys, (line) => out.progress(`comment: ${line.slice(-COMMENT_SHOWN)}`))) ?? comment;
    else if (answer.kind === 'score') return { ...answer, comment };
    else if (answer.kind !== 'unknown') return { kind: answer.kind };
  }
}

function said(
  choice: { score: number; comment: string },
  run: RunContent,
  { out, showVerdict }: LabelSession,
): string {
  const revealed = showVerdict ? '' : `; the checker said ${verdictText(run, out.paint)}`;
  const comment = choice.comment ? `, "${choice.comment}"` : '';
  return `labelled ${decimal(choice.score)}${comment}${revealed}`;
}

/** How a session ended, in words. */
export const sessionText = ({ labelled, left }: SessionResult): string =>
  `${count(labelled)} labelled, ${left === 0 ? 'nothing left' : `${count(left)} still wait`}.`;
