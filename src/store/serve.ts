import { Worker } from 'node:worker_threads';
import { DataType, load, open } from 'ffi-rs';

/**
 * Entry of the child process that *is* the embedded ClickHouse: `serve.ts LIBRARY DATA_DIR CONFIG QUERY`.
 * The library's command line runs QUERY, which opens the listeners and then does not end.
 *
 * Standard input is a pipe that nobody writes to. Its other end is held by the parent, so it closes when the
 * parent is gone, however it went, and then so is this process. That has to be a worker: this thread is blocked.
 */
const [library, dataDir, config, query] = process.argv.slice(2) as [string, string, string, string];

new Worker(
  `const die = () => process.kill(process.pid, 'SIGKILL');
   new (require('node:net').Socket)({ fd: 0 }).on('end', die).on('error', die).resume();`,
  { eval: true },
);

try {
  open({ library: 'chdb', path: library });
} catch (error) {
  console.error(`${library} cannot be loaded: ${(error as Error).message}`);
  process.exit(1);
}
const argv = ['clickhouse', `--path=${dataDir}`, '-C', config, '--query', query];
const code = load({
  library: 'chdb',
  funcName: 'chdb_query_cmdline',
  retType: DataType.I32,
  paramsType: [DataType.I32, DataType.StringArray],
  paramsValue: [argv.length, argv],
});
process.exit(code);
