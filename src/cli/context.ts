import { type Logger, pino } from 'pino';
import { loadSuites, type Suite } from '../../evals/suite.ts';
import { type Clock, systemClock } from '../clock.ts';
import { type Config, clusterOf, type Environment, loadConfig } from '../config.ts';
import { loadRegistry, type Registry } from '../registry/load.ts';
import { openStore, type Store } from '../store/client.ts';
import { type Endpoints, readEndpoints } from './endpoints.ts';
import { createOutput, type Output, type TextStream } from './output.ts';

/** The options that every command takes. */
export interface GlobalOptions {
  config?: string;
  json?: boolean;
  color?: boolean;
}

/** What a command works with. Each part is made when first asked for, so that `--help` touches nothing. */
export interface CliContext {
  readonly clock: Clock;
  readonly out: Output;
  /** Where what others say goes that are started from here. */
  readonly stderr: TextStream;
  /** Whether `--json` was given. */
  readonly json: boolean;
  /** What the process ends with when nothing is thrown: a command that finds something unhealthy sets 1. */
  exitCode: 0 | 1 | 2;
  config(): Config;
  registry(): Registry;
  suites(): readonly Suite[];
  /** The running instance of this configuration, where one left word of itself. */
  endpoints(): Endpoints | undefined;
  /** The configured ClickHouse, else the running instance's, else the one on the configured port. */
  clickhouseUrl(): string;
  collectorUrl(): string;
  store(): Store;
  /** For roles that run in this process; writes to stderr. */
  log(): Logger;
  /** Prints `document` under `--json`, else lets `human` speak. */
  show(document: unknown, human: () => void): void;
  /** Takes the parsed global options, before a command runs. */
  configure(options: GlobalOptions): void;
  close(): Promise<void>;
}

/** What a command line runs in; a test gives its own. */
export interface CliEnvironment {
  stdout: TextStream;
  stderr: TextStream;
  clock: Clock;
  env: Environment | undefined;
}

export function createContext(given: Partial<CliEnvironment> = {}): CliContext {
  const { stdout = process.stdout, stderr = process.stderr, clock = systemClock(), env } = given;
  let options: GlobalOptions = {};
  let store: Store | undefined;
  const config = once(() => loadConfig(options.config, env));
  const endpoints = once(() => readEndpoints(config().data_dir));
  const registry = once(() => loadRegistry(config().directory));
  const log = once(() => pino({ level: config().log_level }, pino.destination(2)));
  const clickhouseUrl = () =>
    config().clickhouse.url ?? endpoints()?.clickhouse ?? `http://127.0.0.1:${config().clickhouse.http_port}`;
  const out = createOutput(stdout, stderr, () => options.color !== false);
  return {
    clock,
    out,
    stderr,
    get json() {
      return options.json === true;
    },
    exitCode: 0,
    config,
    registry,
    suites: once(() => loadSuites(config().directory)),
    endpoints,
    clickhouseUrl,
    collectorUrl: () => {
      const { url, host, port, tls } = config().collector;
      return url ?? endpoints()?.collector ?? `${tls ? 'https' : 'http'}://${host}:${port}`;
    },
    store: () => {
      store ??= openStore({ url: clickhouseUrl(), cluster: clusterOf(config()) });
      return store;
    },
    log,
    show: (document, human) => {
      if (options.json) out.json(document);
      else human();
    },
    configure: (parsed) => {
      options = parsed;
    },
    close: async () => {
      await store?.close();
    },
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
