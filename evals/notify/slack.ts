import { contentHash } from '../../src/records/normalize.ts';
import { post } from './post.ts';
import { isOver, type Notice, type Receiver, worstSeverity } from './receiver.ts';
import { clip, wordsOf } from './text.ts';

/**
 * Slack's incoming webhooks. A message cannot be taken back or changed there, so one that comes twice, after an answer
 * that was lost, shows twice: the notice's key stands at its foot, by which people see that it is the same.
 *
 * What comes from strangers (names of models, messages of errors) must not mention channels or make links: the three
 * characters that do are escaped, and no text goes out that Slack would read as anything else.
 */

/** Limits of Slack's blocks. */
const HEADER_LENGTH_MAX = 150;
const SECTION_LENGTH_MAX = 3_000;
const URL_LENGTH_MAX = 3_000;

/** `url` is the webhook's, and secret; `linkTo` gives where a notice is to be looked at further. */
export function slack(name: string, url: string, linkTo: (notice: Notice) => string | undefined): Receiver {
  // The last part of the path is what gives the right to post.
  const redact = new URL(url).pathname.split('/').at(-1);
  return {
    name,
    kind: 'slack',
    grouped: true,
    keyOf: ({ alert_id, state }) => contentHash([alert_id, state, 'slack', name].join('\0')),
    send: (notice, signal) =>
      post({ url, body: JSON.stringify(message(notice, linkTo(notice))), redact, isStrict: true }, signal),
  };
}

const SIGNS = { page: ':red_circle:', ticket: ':large_orange_circle:', info: ':large_blue_circle:' } as const;

function message(notice: Notice, link: string | undefined) {
  const { subject, long, command } = wordsOf(notice);
  const severity = worstSeverity(notice.members);
  const sign = isOver(notice) ? ':large_green_circle:' : SIGNS[severity];
  const owners = [...new Set(notice.members.flatMap(({ owner }) => owner ?? []))].slice(0, 5);
  const foot = [
    severity,
    owners.length > 0 ? `owner ${owners.join(', ')}` : '',
    `\`${command}\``,
    `notice ${notice.key.slice(0, 12)}`,
  ];
  return {
    // What shows in notifications, and where blocks cannot be shown.
    text: escaped(subject),
    blocks: [
      {
        type: 'header',
        text: { type: 'plain_text', text: clip(`${sign} ${subject}`, HEADER_LENGTH_MAX), emoji: true },
      },
      { type: 'section', text: { type: 'mrkdwn', text: fitted(long, SECTION_LENGTH_MAX), verbatim: true } },
      ...(link && link.length <= URL_LENGTH_MAX
        ? [
            {
              type: 'actions',
              elements: [{ type: 'button', text: { type: 'plain_text', text: 'Look further' }, url: link }],
            },
          ]
        : []),
      {
        type: 'context',
        elements: [
          {
            type: 'mrkdwn',
            text: fitted(foot.filter(Boolean).join(' · '), SECTION_LENGTH_MAX),
            verbatim: true,
          },
        ],
      },
    ],
  };
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Escaped, and no longer than `max` after that. */
function fitted(text: string, max: number): string {
  for (let length = max; ; length -= 100) {
    const fits = escaped(clip(text, length));
    if (fits.length <= max) return fits;
  }
}
