import type { AlertsConfig, GroupBy } from '../../src/alert-settings.ts';
import { contentHash } from '../../src/records/normalize.ts';
import type { LoopDefinition } from '../../src/registry/loop.ts';
import type { DeliveryOutcome } from '../../src/store/alerts.ts';
import { groupKeyOf, itemOf, routed } from './about.ts';
import { type Book, NEWS_FOR_MS } from './book.ts';
import type { Item, Notice, Receiver } from './receiver.ts';
import { silencedAt } from './silence.ts';

/**
 * What a receiver is owed and when: a pure function of the book and the time, so that a restart takes up what was left.
 *
 * - `firing` is owed of an alert that is routed there and was not told yet; while it is silenced it waits, and when it is
 *   over before the silence is, it is never told. `resolved` is owed of what `firing` was told of, silenced or not:
 *   whoever was woken is told that it is over.
 * - Alerts with the same group key that are open at the same time are a group. Its first notice waits `group_wait_s` for
 *   others; the next ones come `group_interval_s` apart, but for the one that says that all is well again.
 * - A group is known by the id that stands with its deliveries, made of its first alert, so that it keeps it.
 */
export interface PlanContext {
  receiver: Receiver;
  /** Where alerts are routed by name. A receiver of the short form has none: it is told of every alert. */
  routeName: string | undefined;
  settings: AlertsConfig;
  loopOf: (loop: string) => LoopDefinition | undefined;
  /** What became of changes that the book does not know of. */
  settled: ReadonlyMap<string, DeliveryOutcome>;
  now: number;
}

export interface Plan {
  /** Worth sending now, the oldest first. */
  due: Notice[];
  /** Changes that are owed, those that wait for company among them. */
  owed: number;
  /** When the first of those that wait is due. */
  nextDueAt: number;
  /** Since when the oldest one that is owed is known. */
  oldestAt: number | undefined;
  /** Keys of the changes that a silence holds back. */
  silenced: string[];
  /** What the receiver knows as firing, or as over. */
  known: Item[];
}

/** A change that is owed, its key and its group. */
interface Owed {
  item: Item;
  key: string;
  /** Of the group that it joins, where there is one. */
  groupId: string | undefined;
  groupKey: string;
}

/** What the receiver knows of a group that is not over. */
interface OpenGroup {
  id: string;
  lastAt: number;
  members: Item[];
}

export function plan(book: Book, context: PlanContext): Plan {
  const { receiver, settings, now } = context;
  const owed: Owed[] = [];
  const silenced: string[] = [];
  const known: Item[] = [];
  const groups = new Map<string, OpenGroup>();
  const lastOf = lastNotices(book);
  const silencing = { ...settings, made: book.silences };
  const isSilenced = silencedAt(now, silencing);

  for (const history of book.alerts) {
    const { firing, resolved } = history;
    const item = itemOf(firing, history, context.loopOf(firing.alert.loop));
    const end = resolved && itemOf(resolved, history, context.loopOf(firing.alert.loop));
    const keys = {
      firing: receiver.keyOf(firing.alert),
      resolved: resolved && receiver.keyOf(resolved.alert),
    };
    const groupKey = receiver.grouped ? groupKeyOf(item, settings.group_by) : '';
    const told = book.told.get(keys.firing);
    const isToldNow = context.settled.get(keys.firing) === 'delivered';
    const isEndTold =
      keys.resolved !== undefined &&
      (book.told.has(keys.resolved) || context.settled.get(keys.resolved) === 'delivered');
    if (told || isToldNow) known.push(isEndTold ? end! : item);
    if (told) {
      if (isEndTold) continue;
      const group = groups.get(told.group_id) ?? {
        id: told.group_id,
        lastAt: lastOf.get(told.group_id) ?? 0,
        members: [],
      };
      group.members.push(item);
      groups.set(told.group_id, group);
      if (end && !context.settled.has(keys.resolved!))
        owed.push({ item: end, key: keys.resolved!, groupId: told.group_id, groupKey });
      continue;
    }
    if (context.settled.has(keys.firing) || !isFor(item, context)) continue;
    if (resolved && (resolved.at < now - NEWS_FOR_MS || silencedAt(resolved.at, silencing)(firing.alert)))
      continue;
    if (isSilenced(firing.alert)) {
      silenced.push(keys.firing);
      continue;
    }
    owed.push({ item, key: keys.firing, groupId: undefined, groupKey });
  }
  owed.sort((a, b) => a.item.at - b.item.at);
  const due = receiver.grouped
    ? inGroups(owed, groups, context)
    : owed.map(({ item, key }) => ({
        dueAt: 0,
        notice: { key, groupId: item.alert.alert_id, changes: [item], members: [item] },
      }));
  return {
    due: due.filter(({ dueAt }) => dueAt <= now).map(({ notice }) => notice),
    owed: owed.length,
    nextDueAt: Math.min(...due.map(({ dueAt }) => dueAt).filter((at) => at > now)),
    oldestAt: owed.length === 0 ? undefined : Math.min(...owed.map(({ item }) => item.at)),
    silenced,
    known,
  };
}

const isFor = (item: Item, { routeName, settings }: PlanContext): boolean =>
  routeName === undefined || routed(item, settings).includes(routeName);

/** When each group was last told anything. */
function lastNotices({ told }: Book): Map<string, number> {
  const last = new Map<string, number>();
  for (const { group_id, delivered_at } of told.values())
    if (group_id !== '') last.set(group_id, Math.max(last.get(group_id) ?? 0, delivered_at));
  return last;
}

/** A notice for each group that has news, and when it is due. */
function inGroups(
  owed: readonly Owed[],
  open: ReadonlyMap<string, OpenGroup>,
  { receiver, settings: { group_by, group_wait_s, group_interval_s } }: PlanContext,
): { notice: Notice; dueAt: number }[] {
  const openByKey = new Map<string, string>();
  for (const { id, members } of open.values())
    for (const member of members) openByKey.set(groupKeyOf(member, group_by as GroupBy[]), id);
  const joined = owed.map((one) => ({ ...one, groupId: one.groupId ?? openByKey.get(one.groupKey) }));
  const batches = Map.groupBy(joined, ({ groupId, groupKey }) => groupId ?? `new ${groupKey}`);
  return [...batches.values()].map((batch) => {
    const [first] = batch;
    const group = first!.groupId === undefined ? undefined : open.get(first!.groupId);
    const changes = batch.map(({ item }) => item);
    const members = [...(group?.members ?? [])];
    for (const item of changes) {
      const at = members.findIndex(({ alert }) => alert.alert_id === item.alert.alert_id);
      if (at >= 0) members[at] = item;
      else members.push(item);
    }
    const groupId =
      group?.id ?? contentHash([receiver.keyOf(first!.item.alert), first!.groupKey].join('\0')).slice(0, 32);
    const isOver = members.every(({ alert }) => alert.state === 'resolved');
    const dueAt = group
      ? isOver
        ? 0
        : group.lastAt + group_interval_s * 1000
      : changes[0]!.at + group_wait_s * 1000;
    const key = contentHash([groupId, ...batch.map((one) => one.key).sort()].join('\0'));
    return { notice: { key, groupId, changes, members }, dueAt };
  });
}
