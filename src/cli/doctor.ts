import type { Command } from 'commander';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';
import type { CliContext } from './context.ts';
import {
  type Check,
  checkClickHouse,
  checkDisk,
  checkNode,
  checkProvider,
  checkRole,
  fail,
  ok,
} from './health-checks.ts';
import { checkReceivers } from './receiver-checks.ts';
import { checkSpool, checkStorage } from './storage-checks.ts';
import { type Column, table } from './table.ts';

/** `doctor`: looks at everything Loopscope stands on and says what to do. */
export function add(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description('check configuration, ClickHouse, providers, clock and disk, and say what to do')
    .addHelpText('after', '\nExample:\n  loopscope doctor --config /etc/loopscope/loopscope.yaml')
    .action(async () => {
      const checks = await examine(context);
      const failed = checks.some(({ state }) => state === 'fail');
      if (failed) context.exitCode = 1;
      context.show({ ok: !failed, checks }, () => {
        const [header, ...lines] = table(context.out.paint, COLUMNS, checks);
        context.out.line(header);
        lines.forEach((line, i) => {
          context.out.line(line);
          if (checks[i]!.todo) context.out.line(`      → ${checks[i]!.todo}`);
        });
      });
    });
}

async function examine(context: CliContext): Promise<Check[]> {
  const configuration = complaintsOf(
    'configuration',
    () => context.config().path ?? 'none: the defaults hold',
  );
  if (configuration.state === 'fail') return [checkNode(), configuration];
  const config = context.config();
  const fetchCollector = fetchTrusting(collectorAuthorities(config.collector));
  const running = context.endpoints();
  const urlOf = (role: 'gateway' | 'collector' | 'evals') =>
    running?.[role] ?? `http://${config[role].host}:${config[role].port}`;
  return [
    checkNode(),
    configuration,
    complaintsOf('loops', () => `${context.registry().loops.size} in ${config.directory}/loops`),
    complaintsOf('suites', () => `${context.suites().length} in ${config.directory}/suites`),
    checkDisk(config.data_dir),
    ...(await checkClickHouse(context.store(), context.clock)),
    ...(await checkStorage(context.store(), config.retention)),
    ...(await checkSpool(context.collectorUrl(), config.collector.spool, fetchCollector)),
    ...(await Promise.all([
      checkRole('gateway', urlOf('gateway'), running?.gateway !== undefined),
      checkRole('collector', context.collectorUrl(), running?.collector !== undefined, fetchCollector),
      checkRole('evals', urlOf('evals'), running?.evals !== undefined),
      ...Object.entries(config.providers).map(([name, provider]) => checkProvider(name, provider)),
    ])),
    ...(await checkReceivers(config.alerts, context.store(), context.clock.now())),
  ];
}

/** A check that passes unless reading something throws a complaint. */
function complaintsOf(name: string, read: () => string): Check {
  try {
    return ok(name, read());
  } catch (error) {
    if (!(error instanceof LoopscopeError)) throw error;
    return fail(name, error.message.replaceAll('\n', '; '), 'Correct the file as it says.');
  }
}

const STYLES = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

const COLUMNS: readonly Column<Check>[] = [
  { header: '', cell: ({ state }) => ({ text: state, style: STYLES[state] }) },
  { header: 'what', cell: ({ name }) => name },
  { header: 'found', cell: ({ found }) => found },
];
