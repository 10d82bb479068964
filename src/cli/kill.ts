import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { LoopscopeError } from '../errors.ts';
import type { KillSwitch, KillTarget } from '../gateway/limits/kill-switch.ts';
import { openKills } from '../gateway/limits/open.ts';
import { checked } from '../gateway/names.ts';
import { requireName } from './arguments.ts';
import type { CliContext } from './context.ts';

/** `kill` and `revive`: a loop or a run that is stopped may call no more until somebody revives it. */
export function add(program: Command, context: CliContext): void {
  program
    .command('kill')
    .description('stop a loop, or one run of it: gateways refuse its calls within a second')
    .argument('[loop]', 'the loop to stop')
    .option('--run <run>', 'stop this run only', runId)
    .option('--list', 'show what is stopped')
    .addHelpText(
      'after',
      `
Example:
  loopscope kill primes
  loopscope kill primes --run r-000123
  loopscope kill --list

Calls under way come to their end; the next ones are refused with the code loop_killed. It reaches the gateways that
share this configuration's Redis (redis_url), or without one its data_dir, and holds when they are restarted.`,
    )
    .action((loop: string | undefined, options: { run?: string; list?: boolean }) =>
      withKills(context, async (kills) => {
        if (options.list) return showList(context, kills);
        const target = targetOf(loop, options.run);
        await decide(kills.kill(target));
        warnOfStranger(context, target);
        context.show({ ...document(target), killed: true }, () =>
          context.out.line(`killed ${named(target)}; \`loopscope revive ${argv(target)}\` lets it go on`),
        );
      }),
    );
  program
    .command('revive')
    .description('let a loop or a run that was killed call again')
    .argument('<loop>', 'the loop that was stopped')
    .option('--run <run>', 'the run that was stopped', runId)
    .addHelpText('after', '\nExample:\n  loopscope revive primes')
    .action((loop: string, options: { run?: string }) =>
      withKills(context, async (kills) => {
        const target = targetOf(loop, options.run);
        const wasKilled = kills.list().some((one) => one.loop === loop && one.runId === target.runId);
        await decide(kills.revive(target));
        if (!wasKilled)
          context.out.note(`Note: ${named(target)} was not killed; \`kill --list\` shows what is.`);
        context.show({ ...document(target), killed: false }, () =>
          context.out.line(`${named(target)} may call`),
        );
      }),
    );
}

async function withKills(context: CliContext, work: (kills: KillSwitch) => unknown): Promise<void> {
  const { redis_url, data_dir } = context.config();
  const { kills, close } = await openKills(
    { redisUrl: redis_url, folder: join(data_dir, 'gateway') },
    { clock: context.clock, log: context.log() },
  );
  try {
    await work(kills);
  } finally {
    await close();
  }
}

function targetOf(loop: string | undefined, run: string | undefined): KillTarget {
  if (loop === undefined)
    throw new LoopscopeError('usage', 'kill: expected the name of a loop, or --list to see what is killed.');
  requireName('LOOP', loop);
  return { loop, runId: run };
}

function runId(text: string): string {
  try {
    return checked('--run', 'id', text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Throws where the gateways were not told. */
async function decide(telling: ReturnType<KillSwitch['kill']>): Promise<void> {
  if ((await telling) === 'everywhere') return;
  throw new LoopscopeError(
    'store_unavailable',
    'The Redis that gateways share (redis_url) did not confirm it. Try again.',
  );
}

/** A name that nobody knows is stopped all the same, but is likely a slip. */
function warnOfStranger(context: CliContext, { loop }: KillTarget): void {
  if (!context.registry().loop(loop)) context.out.note(`Note: loop "${loop}" is not in loops/.`);
}

function showList(context: CliContext, kills: KillSwitch): void {
  const all = kills.list();
  context.show({ kills: all.map(document) }, () => {
    if (all.length === 0) context.out.note('Nothing is killed.');
    else for (const target of all) context.out.line(named(target));
  });
}

const named = ({ loop, runId }: KillTarget) =>
  runId === undefined ? `loop ${loop}` : `run ${runId} of ${loop}`;
const argv = ({ loop, runId }: KillTarget) => (runId === undefined ? loop : `${loop} --run ${runId}`);
const document = ({ loop, runId }: KillTarget) => ({ loop, run: runId ?? null });
