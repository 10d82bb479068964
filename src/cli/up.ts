import type { Command } from 'commander';
import type { Role } from '../system.ts';
import type { CliContext } from './context.ts';
import { removeEndpoints, writeEndpoints } from './endpoints.ts';
import { untilInterrupted } from './interrupt.ts';

const GATEWAY_HELP = `

Loops call it in place of their provider: OPENAI_BASE_URL=http://127.0.0.1:4000/loops/my-loop/v1
It needs a collector (collector.url), and delivers later what it cannot deliver now: <data_dir>/gateway.

A change of loopscope.yaml holds from the next call on, for providers, models, routing, prices, limits, registry and
gateway.access_log and nested_agents; of any other the log says that it takes effect at the next start.
SIGTERM: /readyz says 503 at once, calls are taken for gateway.unready_s more, those under way have gateway.drain_s to end.
All cores: gateway.workers (limits then need redis_url; /metrics has them apart, by the label worker).`;

const COLLECTOR_HELP = `

Listens on 4318 for OTLP over HTTP (protobuf or JSON: /v1/traces, /v1/logs, /v1/metrics) and on 4317 for OTLP over gRPC.
Any OpenTelemetry SDK sends to it with
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_SERVICE_NAME=my-loop

What it answers with success is on its disk first, in <data_dir>/spool, and gets into ClickHouse exactly once. While
ClickHouse is away, also when it starts, it takes what the spool holds, and then answers 503.
Settings: collector.host, port, grpc_port, token_env, tls and spool in loopscope.yaml.
Look: /readyz says why nothing is delivered, /metrics what was taken, \`loopscope doctor\` what waits.`;

const SINGLE_ROLES: readonly (readonly [role: Role, description: string, more?: string])[] = [
  ['gateway', 'run a gateway: what loops call instead of their provider', GATEWAY_HELP],
  [
    'collector',
    'run a collector: takes OpenTelemetry (OTLP over HTTP and gRPC) and stores it',
    COLLECTOR_HELP,
  ],
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
  for (const [role, description, more = ''] of SINGLE_ROLES)
    program
      .command(role)
      .description(description)
      .addHelpText(
        'after',
        `\nExample:\n  loopscope ${role}\n\nPrints \`ready ${role}=URL\` when it answers.${more}`,
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
