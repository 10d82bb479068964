import type { Command } from 'commander';
import type { Role } from '../system.ts';
import type { CliContext } from './context.ts';
import { removeEndpoints, writeEndpoints } from './endpoints.ts';
import { untilInterrupted } from './interrupt.ts';

const SINGLE_ROLES: readonly (readonly [Role, string])[] = [
  ['gateway', 'run a gateway: what loops call instead of their provider'],
  ['collector', 'run a collector: takes OpenTelemetry (OTLP over HTTP and gRPC) and stores it'],
  ['evals', 'run the evaluator: scores runs on schedule, watches the scores, sends alerts'],
  ['clickhouse', 'run the embedded ClickHouse alone'],
];

/** `up` and the commands that run one role of it. */
export function add(program: Command, context: CliContext): void {
  program
    .command('up')
    .description('run everything: embedded ClickHouse, collector, gateway and evals')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope up\n\nPrints `ready gateway=URL collector=URL clickhouse=URL` when all of it answers. Ctrl-C ends it.',
    )
    .action(() => serve(context));
  for (const [role, description] of SINGLE_ROLES)
    program
      .command(role)
      .description(description)
      .addHelpText(
        'after',
        `\nExample:\n  loopscope ${role}\n\nPrints \`ready ${role}=URL\` when it answers.`,
      )
      .action(() => serve(context, role));
}

/** Runs one role, or without one all of them, until interrupted. */
async function serve(context: CliContext, role?: Role): Promise<void> {
  // Loaded here: the other commands must not wait for all that the roles are made of.
  const { ROLES, startSystem } = await import('../system.ts');
  const roles = role === undefined ? ROLES : [role];
  const config = context.config();
  const interrupted = untilInterrupted();
  const system = await startSystem({ config, roles, clock: context.clock, log: context.log() });
  const all = role === undefined;
  try {
    const { gateway, collector, clickhouse, evals } = system.endpoints;
    if (all) writeEndpoints(config.data_dir, { pid: process.pid, gateway, collector, clickhouse, evals });
    const shown = all ? { gateway, collector, clickhouse } : { [role]: system.endpoints[role] };
    const urls = Object.entries(shown).map(([role, url]) => `${role}=${url}`);
    context.out.line(`ready ${urls.join(' ')}`);
    await Promise.race([interrupted, system.failed]);
  } finally {
    if (all) removeEndpoints(config.data_dir, process.pid);
    await system.close();
  }
}
