import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the embedded server keeps what, under Loopscope's data folder. */
export interface ServerFiles {
  /** The server's own folder. */
  directory: string;
  /** Databases and tables. One server at a time. */
  data: string;
  config: string;
  users: string;
}

export interface ServerSettings {
  httpPort: number;
  nativePort: number;
  memoryBytesMax: number;
}

/** Paths of the server's files; makes the folder, readable by this user only. */
export function serverFiles(dataDir: string): ServerFiles {
  const directory = join(dataDir, 'clickhouse');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return {
    directory,
    data: join(directory, 'data'),
    config: join(directory, 'config.xml'),
    users: join(directory, 'users.xml'),
  };
}

/** Writes the server's configuration; it is ours, made anew at each start. */
export function writeServerFiles(files: ServerFiles, settings: ServerSettings): void {
  writeFileSync(files.config, configXml(files, settings), { mode: 0o600 });
  writeFileSync(files.users, USERS_XML, { mode: 0o600 });
}

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
// zone. Idle connections end soon, because a server that shuts down waits for them.
const configXml = (
  files: ServerFiles,
  { httpPort, nativePort, memoryBytesMax }: ServerSettings,
) => `<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${httpPort}</http_port>
  <tcp_port>${nativePort}</tcp_port>
  <keep_alive_timeout>3</keep_alive_timeout>
  <timezone>UTC</timezone>
  <users_config>${escapeXml(files.users)}</users_config>
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

// `default` cannot have a password (the serving query itself runs as it), so it may come from this machine only.
const USERS_XML = `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</clickhouse>
`;

const escapeXml = (text: string) =>
  text.replace(/[<>&]/g, (c) => (c === '<' ? '&lt;' : c === '>' ? '&gt;' : '&amp;'));
