import { type Command, InvalidArgumentError } from 'commander';
import { matchesLoop } from '../../evals/notify/glob.ts';
import { isOpen } from '../../evals/notify/silence.ts';
import { ALERT_KINDS, loopGlob, type Maintenance } from '../alert-settings.ts';
import { LoopscopeError } from '../errors.ts';
import { appendSilence, endSilence, listSilences, type Silence } from '../store/silences.ts';
import { oneLine } from './arguments.ts';
import type { CliContext } from './context.ts';
import { iso, time } from './format.ts';
import { loginName } from './login-name.ts';
import { type Column, table } from './table.ts';

/** `alerts silence`, `silences` and `unsilence`: what nobody is to be told of for a while, though it stays an alert. */

const DURATION_MS_MAX = 90 * 86_400_000;
const SILENCES_MAX = 1_000;
const NAME_LENGTH_MAX = 100;
const REASON_LENGTH_MAX = 1_000;

interface Options {
  for: number;
  kind: string[];
  reason: string;
  by?: string;
}

export function add(alerts: Command, context: CliContext): void {
  alerts
    .command('silence')
    .description(
      'tell nobody of the alerts of a loop for a while; `alerts` and `status` show them all the same',
    )
    .argument('<loop>', 'its name, or a pattern such as "nightly-*"', pattern)
    .requiredOption('--for <time>', 'how long: 30m, 2h, 3d', durationMs)
    .requiredOption('--reason <text>', 'why, for those who ask later')
    .option('--kind <kind>', 'only alerts of this kind; may be given more than once', kind, [])
    .option('--by <name>', 'who says so (default: the name you are logged in by)')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope alerts silence "nightly-*" --for 2h --reason "moving to the new runner"',
    )
    .action(async (loop: string, options: Options) => {
      const silence = {
        id: context.clock.randomHex(4),
        loop,
        kinds: options.kind,
        until: context.clock.now() + options.for,
        by: oneLine('--by', options.by ?? loginName(), NAME_LENGTH_MAX),
        reason: oneLine('--reason', options.reason, REASON_LENGTH_MAX),
      };
      await appendSilence(context.store(), silence);
      if (![...context.registry().loops.keys()].some((known) => matchesLoop(loop, known)))
        context.out.note(`Note: no loop in loops/ is meant by ${JSON.stringify(loop)}.`);
      context.show({ silence: { ...silence, until: iso(silence.until) } }, () => {
        context.out.line(`${loop} is silenced until ${time(silence.until)} UTC (${silence.id})`);
        context.out.note(
          `The evals role takes it within seconds. What still fires then is told of. \`loopscope alerts unsilence ${silence.id}\` ends it before.`,
        );
      });
    });
  alerts
    .command('unsilence')
    .description('end a silence before its time: what still fires is told of')
    .argument('<silence>', 'its id, as `loopscope alerts silences` shows it')
    .addHelpText('after', '\nExample:\n  loopscope alerts unsilence 3f2a9c01')
    .action(async (id: string) => {
      const store = context.store();
      const silence = (await listSilences(store, context.clock.now(), SILENCES_MAX)).find(
        (one) => one.id === id,
      );
      if (!silence)
        throw new LoopscopeError(
          'not_found',
          `There is no silence "${id}" in force that was made by \`alerts silence\`. \`loopscope alerts silences\` shows them; those of the settings end there.`,
        );
      await endSilence(store, silence);
      context.show({ ended: id }, () =>
        context.out.line(`${silence.loop} is not silenced by ${id} any more`),
      );
    });
  alerts
    .command('silences')
    .description('what nobody is told of now, who said so and why, and windows of maintenance')
    .addHelpText('after', '\nExample:\n  loopscope alerts silences --json')
    .action(async () => {
      const now = context.clock.now();
      const made = await listSilences(context.store(), now, SILENCES_MAX);
      const { silences, maintenance } = context.config().alerts;
      const set = silences.filter(({ until }) => until > now);
      const document = {
        silences: [
          ...made.map((silence) => ({ ...silence, from: iso(silence.from), until: iso(silence.until) })),
          ...set.map((silence) => ({ id: null, from: null, ...silence, until: iso(silence.until) })),
        ],
        maintenance: maintenance.map((window) => ({ ...window, is_open: isOpen(window, now) })),
      };
      context.show(document, () => show(context, [...made, ...set], document.maintenance));
    });
}

type Shown = Omit<Silence, 'id' | 'from'> & Partial<Pick<Silence, 'id'>>;
type Window = Maintenance & { is_open: boolean };

function show({ out }: CliContext, silences: readonly Shown[], windows: readonly Window[]): void {
  if (silences.length === 0) out.note('Nothing is silenced.');
  else for (const line of table(out.paint, SILENCES, silences)) out.line(line);
  if (windows.length === 0) return;
  out.line();
  for (const line of table(out.paint, WINDOWS, windows)) out.line(line);
}

const kindsOf = ({ kinds }: { kinds: readonly string[] }) => (kinds.length === 0 ? 'all' : kinds.join(', '));

const SILENCES: readonly Column<Shown>[] = [
  { header: 'silence', cell: ({ id }) => id ?? 'settings' },
  { header: 'loop', cell: ({ loop }) => loop },
  { header: 'kinds', cell: kindsOf },
  { header: 'until (UTC)', cell: ({ until }) => time(until) },
  { header: 'by', cell: ({ by }) => by },
  { header: 'why', cell: ({ reason }) => reason },
];

const WINDOWS: readonly Column<Window>[] = [
  { header: 'maintenance', cell: ({ is_open }) => (is_open ? { text: 'now', style: 'yellow' } : 'later') },
  { header: 'loop', cell: ({ loop }) => loop },
  { header: 'kinds', cell: kindsOf },
  { header: 'when', cell: ({ cron, timezone, duration_m }) => `${cron} ${timezone}, ${duration_m} min` },
  { header: 'why', cell: ({ reason }) => reason },
];

function pattern(text: string): string {
  const parsed = loopGlob.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('Expected the name of a loop, or a pattern such as "nightly-*".');
}

function kind(text: string, before: string[]): string[] {
  if (!ALERT_KINDS.some((known) => known === text))
    throw new InvalidArgumentError(`Expected one of ${ALERT_KINDS.join(', ')}.`);
  return [...before, text];
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads 90s, 30m, 2h or 3d. */
function durationMs(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (ms > 0 && ms <= DURATION_MS_MAX) return ms;
  throw new InvalidArgumentError('Expected a time such as 30m, 2h or 3d, of 90 days at most.');
}
