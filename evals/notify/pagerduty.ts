import type { Severity } from '../../src/alert-settings.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { post } from './post.ts';
import { isOver, type Notice, type Receiver, worstSeverity } from './receiver.ts';
import { clip, wordsOf } from './text.ts';

/**
 * PagerDuty's Events API v2. A group is one alert there, by its `dedup_key`: triggered with its first loop, told of
 * those that join it, and resolved with its last. Some that are well again are no event: a trigger would open anew what
 * somebody has closed meanwhile.
 *
 * https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
 */
const SUMMARY_LENGTH_MAX = 1_024;
const TEXT_LENGTH_MAX = 20_000;
const ALERTS_MAX = 50;

const SEVERITIES: Readonly<Record<Severity, string>> = { page: 'critical', ticket: 'warning', info: 'info' };

export interface PagerDutySettings {
  url: string;
  routingKey: string;
}

/** `linkTo` gives where a notice is to be looked at further. */
export function pagerDuty(
  name: string,
  { url, routingKey }: PagerDutySettings,
  linkTo: (notice: Notice) => string | undefined,
): Receiver {
  return {
    name,
    kind: 'pagerduty',
    grouped: true,
    keyOf: ({ alert_id, state }) => contentHash([alert_id, state, 'pagerduty', name].join('\0')),
    send: async (notice, signal) => {
      const over = isOver(notice);
      if (!over && notice.changes.every(({ alert }) => alert.state === 'resolved'))
        return { outcome: 'taken' };
      const event = over ? {} : trigger(notice, linkTo(notice));
      const head = {
        routing_key: routingKey,
        event_action: over ? 'resolve' : 'trigger',
        dedup_key: notice.groupId,
      };
      return post({ url, body: JSON.stringify({ ...head, ...event }), redact: routingKey }, signal);
    },
  };
}

function trigger(notice: Notice, link: string | undefined) {
  const { subject, long, command } = wordsOf(notice);
  const open = notice.members.filter(({ alert }) => alert.state === 'firing');
  const { alert, owner, team } = open[0]!;
  const loops = [...new Set(open.map((item) => item.alert.loop))];
  const kinds = [...new Set(open.map((item) => item.alert.kind))];
  return {
    client: 'Loopscope',
    ...(link && { client_url: link, links: [{ href: link, text: 'Look further' }] }),
    payload: {
      summary: clip(subject, SUMMARY_LENGTH_MAX),
      source: loops.length === 1 ? loops[0] : `${loops.length} loops`,
      severity: SEVERITIES[worstSeverity(open)],
      timestamp: alert.started_at,
      component: loops.length === 1 ? loops[0] : undefined,
      group: team ?? owner,
      class: kinds.join(', '),
      custom_details: {
        text: clip(long, TEXT_LENGTH_MAX),
        look_further: command,
        alerts: open.slice(0, ALERTS_MAX).map((item) => ({
          alert_id: item.alert.alert_id,
          loop: item.alert.loop,
          kind: item.alert.kind,
          owner: item.owner,
          change_at: item.alert.change_at,
          cause: item.alert.cause,
        })),
        alerts_in_all: open.length,
      },
    },
  };
}
