import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { openStore, type Store } from './client.ts';
import {
  diskFull,
  type ServerFiles,
  type ServerSettings,
  serverPid,
  writeServerFiles,
} from './server-files.ts';

/** One life of the embedded server: a child process, from its start until it has exited. */
export interface ServerProcess {
  pid: number;
  /** Resolves with the exit code, `null` after a signal. */
  exited: Promise<number | null>;
  /** The last thing it complained of; `''` when it did not. */
  complaint(): string;
  /**
   * Kills it, and resolves when it is gone. What it confirmed is in files by then, and what it was at is done again, as after
   * any crash. To be asked to shut down would only take longer: the library has let go of its tables in a fraction of a second,
   * then aborts, each time, and its handler of crashes holds the process for 3 s.
   */
  kill(): Promise<void>;
}

const READY_POLL_MS = 25;
/** Loading the tables of a large data folder takes a while; a server that says nothing for longer hangs. */
const READY_MS_MAX = 120_000;
const STDERR_CHARS_MAX = 8_192;

/**
 * Starts the server and returns when it answers on both ports. Throws what kept it from starting, as
 * `port_in_use`, `data_dir_in_use`, `disk_full` or `store_unavailable`.
 */
export async function spawnServer(
  library: string,
  files: ServerFiles,
  settings: ServerSettings,
  clock: Clock,
): Promise<ServerProcess> {
  writeServerFiles(files, settings);
  // The mark by which our serving query is told from every other, also from that of another server on the port.
  const mark = `loopscope-serve-${clock.randomHex(8)}`;
  const child = launch(library, files, mark);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS_MAX);
  });
  let gone = false;
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      gone = true;
      resolve(code);
    });
  });
  const url = `http://127.0.0.1:${settings.httpPort}`;
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };

  const probe = openStore({ url, requestTimeoutMs: 2_000 });
  try {
    const deadline = clock.now() + READY_MS_MAX;
    // Another program may sit on the port and say nothing: the child's end is heard beside that.
    while (!(await Promise.race([serves(probe, mark), exited.then(() => false)]))) {
      if (gone) throw explain(stderr, files, settings);
      if (clock.now() > deadline) {
        await kill();
        throw new LoopscopeError(
          'store_unavailable',
          `The embedded ClickHouse was started but did not answer at ${url} within ${READY_MS_MAX / 1000} s. Try again; if it stays so, look at the machine's load and disk.`,
        );
      }
      await Promise.race([clock.sleep(READY_POLL_MS), exited]);
    }
  } finally {
    // No grant covers the function file(), by which whoever may query could read what this user can, the tables' own files
    // among it. It begins by asking where it is: from a folder that is gone it reads nothing. All else has whole paths.
    rmSync(files.cwd, { recursive: true, force: true });
    await probe.close();
  }

  return {
    pid: child.pid!,
    exited,
    complaint: () => firstError(stderr),
    kill,
  };
}

function launch(library: string, files: ServerFiles, mark: string): ChildProcess {
  const query = `SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP;
    SELECT sum(sleepEachRow(0.2)) FROM system.numbers SETTINGS log_comment = '${mark}', max_block_size = 1,
    max_threads = 1, max_execution_time = 0, function_sleep_max_microseconds_per_block = 0`;
  const entry = join(import.meta.dirname, `serve${extname(import.meta.filename)}`);
  return spawn(process.execPath, [entry, library, files.data, files.config, query], {
    cwd: files.cwd,
    // The parent's NODE_OPTIONS, keys and the like are none of its business.
    env: {},
    // A group of its own: a Ctrl-C in the terminal is for the parent, which stops the store last.
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
}

async function serves(store: Store, mark: string): Promise<boolean> {
  try {
    const rows = await store.query(
      `SELECT 1 FROM system.processes WHERE Settings['log_comment'] = {mark:String}`,
      { mark },
    );
    return rows.length > 0;
  } catch {
    return false;
  }
}

/** The child's own words about why it could not start, as one of our errors. */
function explain(stderr: string, files: ServerFiles, settings: ServerSettings): LoopscopeError {
  if (stderr.includes('Another server instance in same directory')) {
    const pid = serverPid(files);
    return new LoopscopeError(
      'data_dir_in_use',
      `The data folder ${files.directory} is in use by another ClickHouse${pid ? ` (process ${pid})` : ''}. Stop the loopscope that runs there, or choose another folder with LOOPSCOPE_DATA_DIR (data_dir in loopscope.yaml).`,
    );
  }
  if (/Address already in use/.test(stderr)) {
    const port = Number(/Listen \[[^\]]*\]:(\d+) failed/.exec(stderr)?.[1]);
    const setting =
      port === settings.nativePort
        ? 'LOOPSCOPE_CLICKHOUSE_NATIVE_PORT (clickhouse.native_port in loopscope.yaml)'
        : 'LOOPSCOPE_CLICKHOUSE_PORT (clickhouse.http_port in loopscope.yaml)';
    return new LoopscopeError(
      'port_in_use',
      `Port ${port} on 127.0.0.1 is in use by another program, and ClickHouse needs it. Stop that program, or choose another port with ${setting}; 0 picks a free one.`,
      { cause: { port } },
    );
  }
  if (/No space left on device|NOT_ENOUGH_SPACE|Disk quota exceeded/.test(stderr))
    return diskFull(files.directory, firstError(stderr));
  return new LoopscopeError(
    'store_unavailable',
    `The embedded ClickHouse did not start: ${firstError(stderr) || 'it exited without a word'}. Its folder is ${files.directory}.`,
  );
}

const firstError = (stderr: string) =>
  stderr
    .split('\n')
    .map((line) => line.trim())
    .find((line) => line !== '')
    ?.slice(0, 300) ?? '';
