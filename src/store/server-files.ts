import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LoopscopeError } from '../errors.ts';

/** Where the embedded server keeps what, under Loopscope's data folder. */
export interface ServerFiles {
  /** The server's own folder. */
  directory: string;
  /** Databases and tables. One server at a time. */
  data: string;
  config: string;
  users: string;
  /** Where the server starts, gone as soon as it runs. */
  cwd: string;
  /** What BACKUP writes, the server's disk `backups`: outside of its folder, which may be lost. */
  backups: string;
}

export interface ServerSettings {
  httpPort: number;
  nativePort: number;
  memoryBytesMax: number;
}

/** Paths of the server's files; makes the folder, readable by this user only. Throws as `writeServerFiles`. */
export function serverFiles(dataDir: string): ServerFiles {
  const directory = join(dataDir, 'clickhouse');
  onDisk(directory, () => mkdirSync(directory, { recursive: true, mode: 0o700 }));
  return {
    directory,
    data: join(directory, 'data'),
    config: join(directory, 'config.xml'),
    users: join(directory, 'users.xml'),
    cwd: join(directory, 'cwd'),
    backups: join(dataDir, 'backups'),
  };
}

/**
 * Writes the server's configuration; it is ours, made anew at each start. Throws `disk_full`, or
 * `config_invalid` when the folder cannot be used at all.
 */
export function writeServerFiles(files: ServerFiles, settings: ServerSettings): void {
  onDisk(files.directory, () => {
    writeFileSync(files.config, configXml(files, settings), { mode: 0o600 });
    writeFileSync(files.users, USERS_XML, { mode: 0o600 });
    mkdirSync(files.cwd, { recursive: true, mode: 0o700 });
  });
}

function onDisk(directory: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') throw diskFull(directory, message);
    throw new LoopscopeError(
      'config_invalid',
      `The data folder ${directory} cannot be used (${message}). Make it writable, or choose another with LOOPSCOPE_DATA_DIR (data_dir in loopscope.yaml).`,
      { cause: error },
    );
  }
}

/** The refusal of a full disk; `reason` says how it showed. */
export const diskFull = (directory: string, reason: string) =>
  new LoopscopeError(
    'disk_full',
    `The disk of ${directory} is full (${reason}). Make room, or move the folder with LOOPSCOPE_DATA_DIR (data_dir in loopscope.yaml).`,
  );

/** Process id of the server that has the folder, by the server's own `status` file; `undefined` when it says none. */
export function serverPid(files: ServerFiles): number | undefined {
  try {
    const match = /^PID: (\d+)$/m.exec(readFileSync(join(files.data, 'status'), 'utf8'));
    return match ? Number(match[1]) : undefined;
  } catch {
    return undefined;
  }
}

// Sized for a laptop or a small virtual machine: few background threads, small caches. ClickHouse wants each
// `number_of_free_entries_…` to fit into background_pool_size × 2. Times are UTC whatever the machine's
// zone.
const configXml = (
  files: ServerFiles,
  { httpPort, nativePort, memoryBytesMax }: ServerSettings,
) => `<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${httpPort}</http_port>
  <tcp_port>${nativePort}</tcp_port>
  <timezone>UTC</timezone>
  <users_config>${escapeXml(files.users)}</users_config>
  <access_control_improvements><table_engines_require_grant>true</table_engines_require_grant></access_control_improvements>
  <http_handlers>
    <rule>
      <headers><Origin>regex:.+</Origin></headers>
      <handler><type>static</type><status>403</status><response_content>Not for web pages.\n</response_content></handler>
    </rule>
    <rule>
      <headers><Host>${LOOPBACK_HOST}</Host></headers>
      <url>/ping</url>
      <handler><type>ping</type></handler>
    </rule>
    <rule>
      <headers><Host>${LOOPBACK_HOST}</Host></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
  </http_handlers>
  <storage_configuration><disks><backups>
    <type>local</type><path>${escapeXml(files.backups)}/</path>
  </backups></disks></storage_configuration>
  <backups><allowed_disk>backups</allowed_disk></backups>
  <max_server_memory_usage>${memoryBytesMax}</max_server_memory_usage>
  <max_concurrent_queries>100</max_concurrent_queries>
  <max_connections>1024</max_connections>
  <mark_cache_size>134217728</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>4</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>4</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>6</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>6</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
`;

// There is no password (see below), and a browser would carry any page's request to a loopback port: requests that
// a page makes have an Origin, and those of a page that rebound its name have another Host.
const LOOPBACK_HOST = 'regex:(127\\.0\\.0\\.1|localhost)(:[0-9]+)?';

// `default` cannot have a password, since the serving query itself runs as it. So it may come from this machine only,
// and has what the program needs: no table functions or engines that read and write files or other servers. (For the
// function file() there is no grant; see server-process.ts.)
const ENGINES = ['', 'Aggregating', 'Replacing', 'Summing', 'Collapsing', 'VersionedCollapsing']
  .map((kind) => `${kind}MergeTree`)
  .concat('Atomic', 'Memory', 'Null', 'MaterializedView', 'View', 'Distributed', 'Merge');

/**
 * What dashboards and alert rules read, which is all that the user `grafana` may read: nothing that was said in calls, no keys,
 * no golden data, and of people's labels not what they wrote.
 */
export const READER_GRANTS: readonly string[] = `
  otel_traces otel_traces_trace_id_ts otel_metrics_gauge otel_metrics_sum
  calls_by_minute calls_by_hour latency_by_minute latency_by_hour attempts_by_minute outcomes_by_minute
  own_counts_by_5_minutes own_gauges_by_5_minutes
  runs run_parts run_ends run_facts loop_states loop_standings registry_versions
  eval_scores golden_scores eval_jobs detector_history probes probe_jobs
  alerts alerts_now alert_deliveries alert_acceptances alert_silences
  model_uses model_events model_calendar
`
  .trim()
  .split(/\s+/)
  .map((table) => `SELECT ON loopscope.${table}`)
  .concat('SELECT(loop, run_id, rater, score, withdrawn, probability, labelled_at) ON loopscope.labels');

/** A dashboard may not take the memory or the time that inserts need, whatever it asks for; within that it sets its own. */
const READER_MEMORY_BYTES_MAX = 1_000_000_000;
const READER_SECONDS_MAX = 120;
const READER_QUERIES_MAX = 20;
const USERS_XML = `<clickhouse>
  <profiles>
    <default/>
    <reader>
      <readonly>2</readonly>
      <max_execution_time>${READER_SECONDS_MAX / 2}</max_execution_time>
      <max_memory_usage>${READER_MEMORY_BYTES_MAX}</max_memory_usage>
      <max_concurrent_queries_for_user>${READER_QUERIES_MAX}</max_concurrent_queries_for_user>
      <constraints>
        <max_execution_time><min>1</min><max>${READER_SECONDS_MAX}</max></max_execution_time>
        <max_memory_usage><min>1</min><max>${READER_MEMORY_BYTES_MAX}</max></max_memory_usage>
        <max_concurrent_queries_for_user><const/></max_concurrent_queries_for_user>
      </constraints>
    </reader>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SHOW, SELECT, INSERT, ALTER, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, dictGet ON *.*</query>
        <query>GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, KILL QUERY, SYSTEM, BACKUP ON *.*</query>
        <query>REVOKE SYSTEM SHUTDOWN ON *.*</query>
${ENGINES.map((engine) => `        <query>GRANT TABLE ENGINE ON ${engine}</query>`).join('\n')}
      </grants>
    </default>
    <grafana>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>reader</profile>
      <quota>default</quota>
      <grants>
${READER_GRANTS.map((grant) => `        <query>GRANT ${grant}</query>`).join('\n')}
      </grants>
    </grafana>
  </users>
</clickhouse>
`;

const escapeXml = (text: string) =>
  text.replace(/[<>&]/g, (c) => (c === '<' ? '&lt;' : c === '>' ? '&gt;' : '&amp;'));
