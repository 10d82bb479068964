import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { type ServerFiles, serverFiles } from './server-files.ts';
import { freePorts, requireFreeSpace, requireLibrary, type ServerHost, thisMachine } from './server-host.ts';
import { type ServerProcess, spawnServer } from './server-process.ts';

/**
 * The embedded ClickHouse, started and supervised. It lives in a child process that dies with this one, however
 * this one dies; when the child dies alone it is started again on the same ports and the same folder, with
 * growing pauses, until it has died too often in too short a time.
 */
export interface EmbeddedOptions {
  /** Loopscope's data folder; the server keeps its files in `clickhouse/` below. */
  dataDir: string;
  /** `0` picks a free one. */
  httpPort: number;
  nativePort: number;
  memoryBytesMax: number;
  clock: Clock;
  log: Logger;
  /** The machine, for tests. */
  host?: ServerHost;
}

export interface Embedded {
  /** HTTP interface. */
  readonly url: string;
  readonly nativePort: number;
  /** The server's process; another one after a restart. */
  readonly pid: number;
  /** Stops the server and waits until its process is gone. May be called again. */
  close(): Promise<void>;
  /** Resolves when the server is gone for good: closed (0), or given up (its last exit code, `null` for a signal). */
  readonly exited: Promise<number | null>;
}

/** A predecessor whose parent was killed may still be dying: its folder is free in a moment. */
const FOLDER_WAIT_MS = 5_000;
const FOLDER_POLL_MS = 100;
/** Another program may take a port between our picking it and the server's opening it. */
const PORT_PICKS_MAX = 5;
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
const RESTART_DELAY_MS = 100;

/**
 * Starts the embedded ClickHouse and returns when it answers. Throws `platform_unsupported`, `disk_full`,
 * `data_dir_in_use`, `port_in_use` or `store_unavailable`, each saying what to do.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { clock, log, memoryBytesMax, host = thisMachine } = options;
  const library = requireLibrary(host);
  const files = serverFiles(options.dataDir);
  const first = await firstStart(options, library, files, host);
  const { httpPort, nativePort } = first;
  let server = first.server;
  let closing: Promise<void> | undefined;
  const stopped = new AbortController();
  log.info({ pid: server.pid, httpPort, nativePort }, 'ClickHouse is up');

  const supervise = async (): Promise<number | null> => {
    const deaths: number[] = [];
    for (;;) {
      const code = await server.exited;
      if (closing) return 0;
      deaths.push(clock.now());
      const recent = deaths.filter((at) => at > clock.now() - RESTART_WINDOW_MS).length;
      log.error({ code, complaint: server.complaint() }, 'ClickHouse died');
      for (let attempt = recent; ; attempt++) {
        if (attempt > RESTARTS_MAX) {
          log.fatal(
            { restarts: RESTARTS_MAX, windowMs: RESTART_WINDOW_MS },
            'ClickHouse keeps dying: given up',
          );
          return code;
        }
        await clock.sleep(RESTART_DELAY_MS * 2 ** (attempt - 1), stopped.signal).catch(() => undefined);
        if (closing) return 0;
        try {
          requireFreeSpace(host, files.directory);
          server = await spawnServer(library, files, { httpPort, nativePort, memoryBytesMax }, clock);
          break;
        } catch (error) {
          log.error({ reason: (error as Error).message }, 'ClickHouse did not start again');
        }
      }
      log.warn({ pid: server.pid }, 'ClickHouse is up again');
      if (closing) await server.kill();
    }
  };
  const exited = supervise();
  return {
    url: `http://127.0.0.1:${httpPort}`,
    nativePort,
    get pid() {
      return server.pid;
    },
    exited,
    close: () => {
      closing ??= (async () => {
        stopped.abort();
        await server.kill();
        await exited;
      })();
      return closing;
    },
  };
}

interface FirstStart {
  server: ServerProcess;
  httpPort: number;
  nativePort: number;
}

async function firstStart(
  { httpPort, nativePort, memoryBytesMax, clock, log }: EmbeddedOptions,
  library: string,
  files: ServerFiles,
  host: ServerHost,
): Promise<FirstStart> {
  requireFreeSpace(host, files.directory);
  const asked = new Set([httpPort, nativePort]);
  const deadline = clock.now() + FOLDER_WAIT_MS;
  for (let picks = 1; ; ) {
    const [freeHttp, freeNative] = (await freePorts(2)) as [number, number];
    const ports = { httpPort: httpPort || freeHttp, nativePort: nativePort || freeNative };
    try {
      const server = await spawnServer(library, files, { ...ports, memoryBytesMax }, clock);
      return { server, ...ports };
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      if (error.code === 'data_dir_in_use' && clock.now() < deadline) {
        log.debug(error.message);
        await clock.sleep(FOLDER_POLL_MS);
      } else if (error.code === 'port_in_use' && !asked.has(portOf(error)) && picks < PORT_PICKS_MAX) {
        picks++;
      } else {
        throw error;
      }
    }
  }
}

const portOf = (error: LoopscopeError) => (error.cause as { port: number }).port;
