import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Fetch } from '../collector-trust.ts';
import type { Config, ProviderConfig } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import type { Store } from '../store/client.ts';
import { readMigrations } from '../store/migrate.ts';
import { serverFacts } from '../store/server-facts.ts';

/** What `doctor` looks at. Each check says what it found and, unless all is well, what to do. */
export interface Check {
  name: string;
  state: 'ok' | 'warn' | 'fail';
  found: string;
  /** `''` where there is nothing to do. */
  todo: string;
}

export const ok = (name: string, found: string): Check => ({ name, state: 'ok', found, todo: '' });
export const warn = (name: string, found: string, todo: string): Check => ({
  name,
  state: 'warn',
  found,
  todo,
});
export const fail = (name: string, found: string, todo: string): Check => ({
  name,
  state: 'fail',
  found,
  todo,
});

const NODE_MAJOR_MIN = 24;
const FREE_BYTES_WARN = 5e9;
const FREE_BYTES_FAIL = 500e6;
const SKEW_MS_WARN = 1_000;
const SKEW_MS_FAIL = 60_000;
const PROBE_TIMEOUT_MS = 3_000;

export function checkNode(version: string = process.versions.node): Check {
  const name = 'Node.js';
  if (Number.parseInt(version, 10) >= NODE_MAJOR_MIN) return ok(name, version);
  return fail(
    name,
    version,
    `Node ${NODE_MAJOR_MIN} is needed: run loopscope by \`npm run loopscope\`, which brings it, or install it.`,
  );
}

/** Whether the data folder can be written, and how much room there is. */
export function checkDisk(dataDir: string): Check {
  const name = 'data folder';
  let folder = dataDir;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    return fail(
      name,
      `${folder} cannot be written`,
      'Give this user the right to, or set data_dir elsewhere.',
    );
  }
  const { bavail, bsize } = statfsSync(folder);
  const free = Number(bavail) * Number(bsize);
  const found = `${dataDir}, ${(free / 1e9).toFixed(1)} GB free`;
  if (free < FREE_BYTES_FAIL) return fail(name, found, 'ClickHouse stops taking data soon: make room.');
  if (free < FREE_BYTES_WARN) return warn(name, found, 'Make room before it gets tight.');
  return ok(name, found);
}

/** Whether ClickHouse answers, has the schema of this version, and agrees on what time it is. */
export async function checkClickHouse(store: Store, clock: Clock): Promise<Check[]> {
  const name = 'ClickHouse';
  const before = clock.now();
  let facts: Awaited<ReturnType<typeof serverFacts>>;
  try {
    facts = await serverFacts(store);
  } catch (error) {
    const why = error instanceof LoopscopeError ? error.message : String(error);
    return [fail(name, why, 'If it runs elsewhere, set clickhouse.url in loopscope.yaml.')];
  }
  const skewMs = facts.nowMs - (before + clock.now()) / 2;
  return [
    ok(name, `${facts.version} at ${new URL(store.url).origin}`),
    checkSchema(facts.migrations, readMigrations(store.database)),
    checkSkew(skewMs),
  ];
}

export function checkSchema(
  applied: readonly { id: number; checksum: string }[],
  ours: readonly { id: number; checksum: string }[],
): Check {
  const name = 'schema';
  const known = new Map(ours.map((m) => [m.id, m.checksum]));
  if (applied.some(({ id }) => !known.has(id)))
    return fail(
      name,
      'of a later version of loopscope',
      'Upgrade loopscope, or point it at another ClickHouse.',
    );
  if (applied.some(({ id, checksum }) => known.get(id) !== checksum))
    return fail(name, 'applied from files that were edited since', 'Restore src/store/migrations.');
  const missing = ours.length - applied.length;
  if (missing === 0) return ok(name, `up to date (${ours.length} migrations)`);
  return warn(
    name,
    `${missing} of ${ours.length} migrations are not applied`,
    'Any role applies them when it starts.',
  );
}

export function checkSkew(skewMs: number): Check {
  const name = 'clock';
  const found = `${Math.abs(Math.round(skewMs))} ms ${skewMs < 0 ? 'ahead of' : 'behind'} ClickHouse's`;
  const todo = 'Runs would seem to come from the past or the future: let both machines follow NTP.';
  if (Math.abs(skewMs) >= SKEW_MS_FAIL) return fail(name, found, todo);
  if (Math.abs(skewMs) >= SKEW_MS_WARN) return warn(name, found, todo);
  return ok(name, found);
}

/** Whether a role answers. One that is not expected to run here is only worth a remark. */
export async function checkRole(
  role: string,
  url: string,
  expected: boolean,
  by: Fetch = fetch,
): Promise<Check> {
  const status = await probe('GET', `${url}/healthz`, by);
  if (status === 200) return ok(role, `answers at ${url}`);
  const found =
    typeof status === 'number' ? `${url}/healthz answers ${status}` : `${url} does not answer (${status})`;
  return expected
    ? fail(role, found, 'Its log says why; start `loopscope up` again.')
    : warn(
        role,
        found,
        `Not running here. \`loopscope up\` starts everything, \`loopscope ${role}\` this alone.`,
      );
}

/** Whether a provider can be reached at all (any answer counts) and whether its key is at hand. */
export async function checkProvider(
  provider: string,
  { base_url, api_key, api_key_env }: ProviderConfig,
): Promise<Check> {
  const name = `provider ${provider}`;
  const keyMissing = api_key_env !== undefined && !api_key;
  const status = await probe('HEAD', base_url);
  if (typeof status !== 'number') {
    const found = `${base_url} cannot be reached (${status})`;
    const todo = 'Check base_url, DNS, the proxy and the firewall.';
    return keyMissing ? warn(name, `${found}; ${api_key_env} is not set`, todo) : fail(name, found, todo);
  }
  if (keyMissing)
    return warn(
      name,
      `${base_url} can be reached; ${api_key_env} is not set`,
      `Set ${api_key_env} where the gateway runs: calls with a virtual key need it, others bring their own.`,
    );
  return ok(name, `${base_url} can be reached${api_key_env ? `, ${api_key_env} is set` : ''}`);
}

export function checkWebhooks(webhooks: Config['alerts']['webhooks']): Check[] {
  const name = 'alert webhooks';
  if (webhooks.length === 0)
    return [warn(name, 'none', 'Nobody is told of an alert: add alerts.webhooks to loopscope.yaml.')];
  return webhooks.map(({ url, secret_env, secret }) => {
    const { origin } = new URL(url); // the path of a hook is often its secret
    if (secret_env && !secret)
      return warn(
        name,
        `${origin}, ${secret_env} is not set`,
        `Set ${secret_env} where the evals run: without it they do not start.`,
      );
    return secret
      ? ok(name, `${origin}, signed`)
      : warn(
          name,
          `${origin}, not signed`,
          'Add secret_env, so that the receiver can tell our calls from others.',
        );
  });
}

/** The status of an answer, or why there was none. */
async function probe(method: 'GET' | 'HEAD', url: string, by: Fetch = fetch): Promise<number | string> {
  try {
    const answer = await by(url, {
      method,
      redirect: 'manual',
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    await answer.body?.cancel();
    return answer.status;
  } catch (error) {
    const { cause, message, name } = error as Error & { cause?: NodeJS.ErrnoException };
    return name === 'TimeoutError' ? `no answer in ${PROBE_TIMEOUT_MS / 1000} s` : (cause?.code ?? message);
  }
}
