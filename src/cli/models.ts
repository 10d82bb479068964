import type { Command } from 'commander';
import { calendarOf, shippedCalendar } from '../../evals/models/calendar.ts';
import { type LoopModel, modelsInUse } from '../../evals/models/report.ts';
import { listModelEvents, storedCalendar } from '../store/model-events.ts';
import { modelUses } from '../store/model-uses.ts';
import { loopsSeen } from '../store/runs.ts';
import { requireKnownLoop } from './arguments.ts';
import type { CliContext } from './context.ts';
import { iso, time, UNKNOWN } from './format.ts';
import { type Column, table } from './table.ts';

/** More than fit a page, and fewer than fill the memory. */
const EVENTS_MAX = 10_000;
/** A retirement this near is shown in yellow. */
const NEAR_DAYS = 30;

/** `models`: the models in use, by loop. */
export function add(program: Command, context: CliContext): void {
  program
    .command('models')
    .description('show which models loops use, since when, and until when; exit code 1 when one is gone')
    .option('--loop <loop>', 'only this loop')
    .addHelpText('after', '\nExample:\n  loopscope models --loop dependency-bump')
    .action(async ({ loop }: { loop?: string }) => {
      const models = await readModels(context, loop);
      if (loop !== undefined && models.length === 0)
        requireKnownLoop(context, loop, await loopsSeen(context.store()));
      if (models.some(({ isGone }) => isGone)) context.exitCode = 1;
      context.show({ models: models.map(document) }, () => {
        if (models.length === 0) context.out.note('No model was called in the last 14 days.');
        else for (const line of table(context.out.paint, columns(loop), models)) context.out.line(line);
      });
    });
}

async function readModels(context: CliContext, loop: string | undefined): Promise<LoopModel[]> {
  const store = context.store();
  const uses = await modelUses(store, loop === undefined ? { calledAfter: 0 } : { loops: [loop] });
  const events = await listModelEvents(store, { loop, limit: EVENTS_MAX });
  // Until an evaluator has run, nobody knows more than what ships with the program.
  const calendar = calendarOf((await storedCalendar(store))?.rows ?? shippedCalendar());
  return modelsInUse(uses, events, { calendar, now: context.clock.now() });
}

function columns(loop: string | undefined): Column<LoopModel>[] {
  const all: Column<LoopModel>[] = [
    { header: 'asked for', cell: (m) => m.requestedModel },
    {
      header: 'answered by',
      cell: (m) => (m.isGone ? { text: 'not found', style: 'red' } : m.servedModel || UNKNOWN),
    },
    { header: 'since (UTC)', cell: (m) => time(m.since) },
    { header: 'last (UTC)', cell: (m) => time(m.lastSeen) },
    { header: 'retires', cell: retires },
    { header: 'instead', cell: (m) => m.retirement?.replacement || UNKNOWN },
    { header: 'seen', cell: seen },
  ];
  return loop === undefined ? [{ header: 'loop', cell: (m) => m.loop }, ...all] : all;
}

function retires({ retirement, daysLeft }: LoopModel) {
  if (!retirement || daysLeft === null) return UNKNOWN;
  const { retires_at } = retirement;
  if (daysLeft < 0) return { text: `${retires_at} (past)`, style: 'red' as const };
  const text = `${retires_at} (${daysLeft} ${daysLeft === 1 ? 'day' : 'days'})`;
  return { text, style: daysLeft <= NEAR_DAYS ? ('yellow' as const) : undefined };
}

/** The newest event in a few words, and how many there are besides. */
function seen({ events }: LoopModel): string {
  const [newest] = events;
  if (!newest) return UNKNOWN;
  const what = {
    served_model_changed: `instead of ${newest.previous_model}`,
    retirement_near: 'retirement was told of',
    model_not_found: 'not found',
  }[newest.kind];
  const more = events.length > 1 ? ` +${events.length - 1}` : '';
  return `${time(newest.at)} ${what}${more}`;
}

const document = (m: LoopModel) => ({
  loop: m.loop,
  provider: m.provider,
  requested_model: m.requestedModel,
  served_model: m.servedModel || null,
  found: !m.isGone,
  since: iso(m.since),
  last_seen: iso(m.lastSeen),
  retires_at: m.retirement?.retires_at ?? null,
  days_left: m.daysLeft,
  replacement: m.retirement?.replacement || null,
  source: m.retirement?.source ?? null,
  events: m.events.map((event) => ({
    kind: event.kind,
    at: iso(event.at),
    previous_model: event.previous_model || null,
    trace_id: event.trace_id,
  })),
});
