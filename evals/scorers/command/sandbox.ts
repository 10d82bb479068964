import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ScorerError } from '../scorer.ts';
import type { CommandSettings } from './settings.ts';

/**
 * What a command is shut in with, by the tools of util-linux, which every Debian has:
 *
 *   setpriv   gains no privileges any more; run by root, becomes nobody; ends when we end
 *   unshare   a user, network, IPC and process namespace of its own: no network, not even loopback; no sight of our
 *             processes and their environment; what it leaves running dies with it, also what left its process group
 *   sh        the first process of the namespace, which waits for the command. It is given words and reads none as a
 *             script. Were the command itself the first, signals that end others would not end it.
 *   prlimit   CPU, file size, open files, processes, and memory where it grows faster than it is watched (see `run`)
 *
 * It is no virtual machine. The command reads and writes what the user may whom it runs as (nobody, run by root), and
 * the limit of file size is each file's. What must not be read, belongs to another user.
 */
export interface Sandbox {
  /** The whole command line. */
  wrap(argv: readonly string[]): string[];
  /** Whether namespaces were permitted; else only the limits hold. */
  isolated: boolean;
  /** Whom it runs as, where that is not who we are. */
  uid: number | undefined;
}

const NOBODY = 65_534;
const MB = 1_048_576;
/** Threads count as processes. */
const PROCESSES_MAX = 128;
/** Without a namespace the user's other processes count too. */
const PROCESSES_SHARED_MAX = 4_096;
const FILE_BYTES_MAX = 64 * MB;
/** What runtimes reserve and never touch counts too. */
const RESERVED_BYTES_MAX = 4_096 * MB;
const FILES_OPEN_MAX = 256;
const PROBE_MS_MAX = 5_000;

const ISOLATED = [
  '--user',
  '--map-current-user',
  '--net',
  '--ipc',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
];

const WAIT_FOR = ['sh', '-c', '"$@"; exit $?', 'sh'];

/**
 * The sandbox that this machine permits, tried out by running `true` in it; `path` is where its tools are looked for.
 * Throws `ScorerError` (`sandbox_unavailable`) where that is less than the settings require.
 */
export async function openSandbox(settings: CommandSettings, path: string): Promise<Sandbox> {
  const isRoot = process.getuid?.() === 0;
  const make = (isolated: boolean): Sandbox => {
    const prefix = [
      ...privileges(isRoot),
      ...(isolated ? ['unshare', ...ISOLATED, '--'] : []),
      ...WAIT_FOR,
      ...limits(settings, isolated),
    ];
    return { wrap: (argv) => [...prefix, ...argv], isolated, uid: isRoot ? NOBODY : undefined };
  };
  const full = make(true);
  const why = await complaintOf(full, path);
  if (why === undefined) return full;
  if (settings.isolation === 'required')
    throw new ScorerError(
      'sandbox_unavailable',
      `this machine permits no namespaces to shut the command in (${why}). Permit them (unprivileged user namespaces), or set \`isolation: where_permitted\` and trust what the answers make the command do.`,
    );
  const plain = make(false);
  const whyNot = await complaintOf(plain, path);
  if (whyNot === undefined) return plain;
  throw new ScorerError(
    'sandbox_unavailable',
    `a command needs setpriv and prlimit of util-linux on Linux (${whyNot})`,
  );
}

function privileges(isRoot: boolean): string[] {
  const drop = isRoot ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : [];
  return ['setpriv', ...drop, '--no-new-privs', '--pdeathsig', 'KILL', '--'];
}

function limits({ memory_mb, timeout_s }: CommandSettings, isolated: boolean): string[] {
  return [
    'prlimit',
    `--data=${memory_mb * MB + RESERVED_BYTES_MAX}`,
    `--cpu=${Math.ceil(timeout_s) + 1}`,
    `--fsize=${FILE_BYTES_MAX}`,
    `--nofile=${FILES_OPEN_MAX}`,
    `--nproc=${isolated ? PROCESSES_MAX : PROCESSES_SHARED_MAX}`,
    '--core=0',
    '--',
  ];
}

/** `undefined` where it works. */
async function complaintOf({ wrap }: Sandbox, path: string): Promise<string | undefined> {
  const [program, ...args] = wrap(['true']);
  try {
    await promisify(execFile)(program!, args, { timeout: PROBE_MS_MAX, env: { PATH: path } });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return (stderr?.trim() || message).slice(0, 200);
  }
}
