import type { Fetch } from '../collector-trust.ts';
import type { Config } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import type { Store } from '../store/client.ts';
import { type Retention, readRetention } from '../store/retention.ts';
import { readStorage } from '../store/storage.ts';
import { type Check, fail, ok, warn } from './health-checks.ts';

/** Data on its way to ClickHouse and in it: what `doctor` says of the spool, of disk use and of retention. */

const TIMEOUT_MS = 3_000;
/** Deliveries take well under a second; past this something is in their way. */
const LAG_S_WARN = 60;
/** Of what the spool may hold. */
const FULL_WARN = 0.5;
const FULL_FAIL = 0.9;

/** What a collector's `/metrics` says of its spool. */
export interface SpoolFigures {
  bytes: number;
  records: number;
  oldestUnsentS: number;
  diskErrors: number;
  /** Not delivered, by reason. */
  setAside: Record<string, number>;
}

export function parseSpoolFigures(metrics: string): SpoolFigures | undefined {
  const value = (name: string) =>
    Number(new RegExp(`^loopscope_collector_spool_${name} (\\S+)$`, 'm').exec(metrics)?.[1]);
  const reasons = metrics.matchAll(/^loopscope_collector_spool_set_aside_total\{reason="(\w+)"\} (\S+)$/gm);
  const figures = {
    bytes: value('bytes'),
    records: value('records'),
    oldestUnsentS: value('oldest_unsent_seconds'),
    diskErrors: value('disk_errors_total'),
    setAside: Object.fromEntries(Array.from(reasons, ([, reason, n]) => [reason!, Number(n)])),
  };
  return Number.isNaN(figures.bytes + figures.records + figures.oldestUnsentS) ? undefined : figures;
}

/** The spool of the collector at `url`; nothing where none answers, which is a finding of its own. */
export async function checkSpool(
  url: string,
  settings: Config['collector']['spool'],
  fetch: Fetch,
): Promise<Check[]> {
  let metrics: string;
  try {
    const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    metrics = await answer.text();
  } catch {
    return [];
  }
  const figures = parseSpoolFigures(metrics);
  return figures ? [judgeSpool(figures, settings)] : [];
}

export function judgeSpool(
  { bytes, records, oldestUnsentS, diskErrors, setAside }: SpoolFigures,
  { bytes_max, age_max_h }: Pick<Config['collector']['spool'], 'bytes_max' | 'age_max_h'>,
): Check {
  const name = 'spool';
  // What was there twice was left out as it should be.
  const lost = Object.entries(setAside).filter(([reason]) => reason !== 'duplicate');
  const waiting =
    records === 0
      ? 'nothing waits'
      : `${records} requests wait for ClickHouse, the oldest for ${Math.round(oldestUnsentS)} s`;
  const found = [
    `${waiting}, ${megabytes(bytes)} of ${megabytes(bytes_max)} on disk`,
    ...lost.map(([reason, n]) => `${n} set aside (${reason})`),
    ...(diskErrors > 0 ? [`${diskErrors} disk errors`] : []),
  ].join(', ');
  if (bytes >= FULL_FAIL * bytes_max || oldestUnsentS >= FULL_FAIL * age_max_h * 3_600)
    return fail(
      name,
      found,
      "It is about to take no more: senders are told to wait and drop what they cannot hold. Get ClickHouse to take inserts again (the collector's /readyz says why it does not), or raise collector.spool.",
    );
  if (oldestUnsentS >= LAG_S_WARN || bytes >= FULL_WARN * bytes_max)
    return warn(
      name,
      found,
      "ClickHouse does not take what is sent, or not fast enough: the collector's /readyz says why.",
    );
  if (lost.length > 0)
    return warn(
      name,
      found,
      "Requests that were damaged on disk, or that ClickHouse refused for good, are in the spool's rejected/: the log says which.",
    );
  if (diskErrors > 0)
    return warn(name, found, "The spool's disk failed and was tried again: the log says how.");
  return ok(name, found);
}

/** What spans take on disk, and how long rows are kept. */
export async function checkStorage(store: Store, wanted: Config['retention']): Promise<Check[]> {
  try {
    const { spans, spanBytes, bytes } = await readStorage(store);
    const each = spans === 0 ? '' : `, ${Math.round(spanBytes / spans)} bytes each on disk`;
    return [
      ok('storage', `${spans} spans${each}; all tables ${megabytes(bytes)}`),
      ...judgeRetention(await readRetention(store), wanted),
    ];
  } catch (error) {
    if (!(error instanceof LoopscopeError)) throw error;
    return []; // that ClickHouse does not answer is said where it is asked whether it does
  }
}

export function judgeRetention(inForce: readonly Retention[], wanted: Config['retention']): Check[] {
  const name = 'retention';
  if (inForce.length === 0) return [];
  const settings = Map.groupBy(inForce, ({ setting }) => setting);
  const found = [...settings]
    .map(([setting, [first]]) => {
      const days = first!.days;
      return `${setting.replace('_days', '')} ${days === undefined ? 'for ever' : `${days} days`}`;
    })
    .join(', ');
  if (inForce.every(({ setting, days }) => days === wanted[setting])) return [ok(name, found)];
  return [
    warn(
      name,
      found,
      'Not what loopscope.yaml says: the collector applies it when it starts; start it again.',
    ),
  ];
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
