import type { Clock } from '../../src/clock.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { post } from './post.ts';
import type { Item, Outcome, Receiver } from './receiver.ts';
import { clip, ofOne } from './text.ts';

/**
 * One Alertmanager, by its v2 API. It groups and routes by itself, so each alert goes to it on its own, with labels to
 * do that by; the labels are what an alert is known by, so nothing is in them that changes while it lasts.
 *
 * An Alertmanager keeps alerts in memory and believes them over when it has not heard of them for a while. So what
 * fires is sent again, in a few requests whatever there is of it and without a row anywhere; each time it says until
 * when it holds, which is long enough for a restart of this process. What is over is told again for a quarter of an
 * hour, for an Alertmanager that was restarted before it had told anybody.
 */
const HOLDS_RESENDS = 10;
const HOLDS_MS_MIN = 300_000;
const RESOLVED_FOR_MS = 900_000;
/** Alerts in a request. */
const BATCH_MAX = 50;
const ANNOTATION_LENGTH_MAX = 4_000;
const LABEL_LENGTH_MAX = 500;

export interface AlertmanagerSettings {
  /** Where its pages are; the API is below. */
  url: string;
  token: string | undefined;
  resendMs: number;
}

/** `linkTo` gives where an alert is to be looked at further. */
export function alertmanager(
  name: string,
  { url, token, resendMs }: AlertmanagerSettings,
  clock: Pick<Clock, 'now'>,
  linkTo: (item: Item) => string | undefined,
): Receiver {
  const holdsMs = Math.max(resendMs * HOLDS_RESENDS, HOLDS_MS_MIN);
  const endpoint = `${url.replace(/\/+$/, '')}/api/v2/alerts`;
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const tell = (items: readonly Item[], signal: AbortSignal) => {
    const alerts = items.map((item) => alertOf(item, linkTo(item), { now: clock.now(), holdsMs }));
    return post({ url: endpoint, body: JSON.stringify(alerts), headers, redact: token }, signal);
  };
  return {
    name,
    kind: 'alertmanager',
    grouped: false,
    keyOf: ({ alert_id, state }) => contentHash([alert_id, state, 'alertmanager', url].join('\0')),
    send: ({ changes }, signal) => tell(changes, signal),
    reminder: {
      everyMs: resendMs,
      resolvedForMs: RESOLVED_FOR_MS,
      send: async (items, signal) => {
        let worst: Outcome = { outcome: 'taken' };
        for (let from = 0; from < items.length; from += BATCH_MAX) {
          const outcome = await tell(items.slice(from, from + BATCH_MAX), signal);
          if (outcome.outcome === 'failed') return outcome;
          // It took what it could of these; the others may all be well.
          if (outcome.outcome === 'refused') worst = outcome;
        }
        return worst;
      },
    },
  };
}

/** An alert as the API has it. */
function alertOf(item: Item, link: string | undefined, { now, holdsMs }: { now: number; holdsMs: number }) {
  const { alert, firstCause: cause, severity, owner, team } = item;
  const { subject, short, long, command } = ofOne(item);
  const startsAt = Math.min(Date.parse(alert.started_at), now);
  const endsAt = alert.state === 'resolved' ? Math.max(Math.min(item.at, now), startsAt) : now + holdsMs;
  return {
    labels: filled(
      {
        alertname: `Loopscope${pascal(alert.kind)}`,
        loop: alert.loop,
        kind: alert.kind,
        alert_id: alert.alert_id,
        severity,
        owner,
        team,
        cause: cause
          ? `${cause.dimension}: ${cause.from || 'unknown'} -> ${cause.to || 'unknown'}`
          : undefined,
      },
      LABEL_LENGTH_MAX,
    ),
    annotations: filled({ summary: subject, short, description: long, command }, ANNOTATION_LENGTH_MAX),
    startsAt: new Date(startsAt).toISOString(),
    endsAt: new Date(endsAt).toISOString(),
    ...(link && { generatorURL: link }),
  };
}

/** Those that say something: an empty label is none to an Alertmanager. */
const filled = (texts: Record<string, string | undefined>, lengthMax: number): Record<string, string> =>
  Object.fromEntries(
    Object.entries(texts).flatMap(([name, text]) => (text ? [[name, clip(text, lengthMax)]] : [])),
  );

const pascal = (kind: string): string =>
  kind.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
