import { alertSentences, claimOf } from '../message.ts';
import { type Item, isOver, type Notice } from './receiver.ts';

/**
 * What a notice says, in three lengths, the same for every receiver that reads words: what happened, since when, how
 * sure that is, what changed, and the one command to look further.
 *
 * A notice of one alert says what the alert says. One of several says what they have in common, and names the loops.
 */
export interface Words {
  /** One line, for a list or a pager's display. */
  subject: string;
  /** Two or three sentences. */
  short: string;
  /** All of it, in lines. */
  long: string;
  /** The command to look further. */
  command: string;
}

const SUBJECT_LENGTH_MAX = 200;
const SHORT_LENGTH_MAX = 700;
/** Loops that a notice names one by one. */
const NAMED_MAX = 20;

/** The words of a notice. */
export function wordsOf(notice: Notice): Words {
  return notice.members.length <= 1 ? ofOne(notice.members[0] ?? notice.changes[0]!) : ofGroup(notice);
}

/** The words of an alert on its own. */
export function ofOne({ alert }: Pick<Item, 'alert'>): Words {
  const sentences = alertSentences(alert);
  const [first] = sentences;
  const command = commandOf(sentences) ?? `loopscope alerts --loop ${alert.loop}`;
  return {
    subject: clip(first!, SUBJECT_LENGTH_MAX),
    short: clip(sentences.slice(0, 3).join(' '), SHORT_LENGTH_MAX),
    long: sentences.join('\n'),
    command,
  };
}

function ofGroup(notice: Notice): Words {
  const { members, changes } = notice;
  const open = members.filter(({ alert }) => alert.state === 'firing');
  const told = open.length > 0 ? open : members;
  const loops = [...new Set(told.map(({ alert }) => alert.loop))].sort();
  const subject = clip(headline(notice, told, loops), SUBJECT_LENGTH_MAX);
  const news = newsOf(changes, members, open);
  const command = loops.length === 1 ? `loopscope alerts --loop ${loops[0]}` : 'loopscope alerts';
  const named = loops.slice(0, NAMED_MAX).join(', ');
  const more = loops.length > NAMED_MAX ? ` and ${loops.length - NAMED_MAX} more` : '';
  const each = told
    .slice(0, NAMED_MAX)
    .map(({ alert }) => `- ${clip(alertSentences(alert).slice(0, 2).join(' '), SHORT_LENGTH_MAX)}`);
  const rest = told.length > NAMED_MAX ? [`- and ${told.length - NAMED_MAX} more`] : [];
  return {
    subject,
    short: clip([`${subject}.`, news, `Loops: ${named}${more}.`].filter(Boolean).join(' '), SHORT_LENGTH_MAX),
    long: [`${subject}.`, news, ...each, ...rest, sure(told), `Look further: ${command}`]
      .filter(Boolean)
      .join('\n'),
    command,
  };
}

/** 20 loops no longer do their work since …: model, from gpt-4.1 to gpt-4.1-nano */
function headline(notice: Notice, told: readonly Item[], loops: readonly string[]): string {
  const claims = new Set(told.map(({ alert }) => claimOf(alert.kind, loops.length)));
  const claim = claims.size === 1 ? [...claims][0]! : loops.length === 1 ? 'needs a look' : 'need a look';
  const who = loops.length === 1 ? `Loop ${loops[0]}` : `${loops.length} loops`;
  const what = commonCause(told);
  const since = `since ${told.map(({ alert }) => alert.change_at).sort()[0]}${what ? `: ${what}` : ''}`;
  return isOver(notice) ? `Resolved: ${who}, amiss ${since}` : `${who} ${claim} ${since}`;
}

/** What changed, where it is the same for all of them. */
function commonCause(items: readonly Item[]): string | undefined {
  const causes = new Set(items.map(({ alert: { cause } }) => cause && JSON.stringify(cause)));
  const { cause } = items[0]!.alert;
  if (causes.size > 1 || !cause) return undefined;
  return `${cause.dimension}, from ${cause.from || 'unknown'} to ${cause.to || 'unknown'}`;
}

/** What came or ended now, where that is not all there is to say. */
function newsOf(changes: readonly Item[], members: readonly Item[], open: readonly Item[]): string {
  const began = changes.filter(({ alert }) => alert.state === 'firing').length;
  const ended = changes.length - began;
  return [
    began > 0 && began < open.length ? `New: ${began} of ${open.length}.` : '',
    ended > 0 && open.length > 0 ? `Over: ${ended}; still open: ${open.length}.` : '',
    open.length === 0 && members.length > 1 ? `All ${members.length} are over.` : '',
  ]
    .filter(Boolean)
    .join(' ');
}

/** How sure it is, by the loosest promise among them. */
function sure(items: readonly Item[]): string {
  const runs = items.flatMap(({ alert: { evidence } }) =>
    typeof evidence['arl'] === 'number' ? evidence['arl'] : [],
  );
  if (runs.length < items.length) return '';
  const least = Math.round(Math.min(...runs)).toLocaleString('en');
  return `For each of them a false alarm comes at most once in ${least} runs on average.`;
}

/** The first command that the alert's own text names. */
const commandOf = (sentences: readonly string[]): string | undefined =>
  /Look further: (loopscope [^,(]*[^,( ])/.exec(sentences.at(-1) ?? '')?.[1];

/** At most `max` characters, none of them cut in half. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
