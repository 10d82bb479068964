import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { add as addAlerts } from './alerts.ts';
import { add as addBacktest } from './backtest.ts';
import { add as addBackup } from './backup.ts';
import { add as addBisect } from './bisect.ts';
import { type CliContext, type CliEnvironment, createContext } from './context.ts';
import { add as addDiff } from './diff.ts';
import { add as addDoctor } from './doctor.ts';
import { add as addEval } from './eval.ts';
import { add as addGolden } from './golden.ts';
import { add as addImport } from './import.ts';
import { add as addKeys } from './keys.ts';
import { add as addKill } from './kill.ts';
import { add as addLabel } from './label.ts';
import { add as addModels } from './models.ts';
import { add as addProbes } from './probes.ts';
import { add as addProvider } from './provider.ts';
import { add as addRecord } from './record.ts';
import { add as addRegistry } from './registry.ts';
import { add as addReplay } from './replay.ts';
import { add as addRuns } from './runs.ts';
import { add as addStatus } from './status.ts';
import { add as addTrace } from './trace.ts';
import { add as addUp } from './up.ts';

/** Adds a command, with what it says of itself, to the program. */
type AddCommand = (program: Command, context: CliContext) => void;

const GROUPS: readonly (readonly [heading: string, commands: readonly AddCommand[]])[] = [
  ['Run:', [addUp, addProvider]],
  ['Look:', [addStatus, addAlerts, addRuns, addTrace, addDiff, addModels, addProbes]],
  ['Measure:', [addImport, addGolden, addEval, addLabel, addBacktest]],
  ['Replay:', [addReplay, addBisect, addRecord]],
  ['Manage:', [addRegistry, addKeys, addKill, addDoctor, addBackup]],
];

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** All of the command line. */
export function buildProgram(context: CliContext, given: Partial<CliEnvironment> = {}): Command {
  const { stdout = process.stdout, stderr = process.stderr } = given;
  const program = new Command('loopscope')
    .description(
      'Watches fleets of unattended agents and catches those that pass their own checks while useless.',
    )
    .version(version, '--version', 'print the version')
    .option('--config <file>', 'settings (default: ./loopscope.yaml where there is one)')
    .option('--json', 'print one JSON document')
    .option('--no-color', 'no colours')
    .helpOption('-h, --help', 'show this')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(--help shows what it takes)')
    .hook('preAction', () => context.configure(program.opts()));
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading);
    for (const add of commands) add(program, context);
  }
  return program;
}

/**
 * Runs one command line and resolves with its exit code: 0 fine, 1 the thing asked about is unhealthy or failed,
 * 2 wrong usage or configuration. Never throws.
 */
export async function run(argv: readonly string[], given: Partial<CliEnvironment> = {}): Promise<number> {
  const context = createContext(given);
  try {
    await buildProgram(context, given).parseAsync(argv, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return asked(error) ? 0 : 2; // commander has already said why
    context.out.note(complaint(error, context));
    return error instanceof LoopscopeError ? error.exitCode : 1;
  } finally {
    await context.close();
  }
}

const asked = (error: CommanderError) =>
  error.code === 'commander.helpDisplayed' || error.code === 'commander.version' || error.exitCode === 0;

function complaint(error: unknown, context: CliContext): string {
  if (wantsStack(context)) return (error instanceof Error && error.stack) || String(error);
  if (error instanceof LoopscopeError) return `loopscope: ${error.message}`;
  const message = error instanceof Error ? error.message : String(error);
  return `loopscope: internal error: ${message} (LOOPSCOPE_LOG_LEVEL=debug shows where; please report it)`;
}

function wantsStack(context: CliContext): boolean {
  try {
    return ['debug', 'trace'].includes(context.config().log_level);
  } catch {
    return false; // the configuration itself is what is wrong
  }
}
