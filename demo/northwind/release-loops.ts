import { JSON_VERDICT, type LoopPlan, others } from './plan.ts';

/** The loops between Northwind's code and those who use it. */

const CHANGES = [
  ['feat(billing): csv export', 'Added CSV export to billing'],
  ['fix(search): umlauts in queries', 'Fixed search for words with umlauts'],
  ['feat(tracking): courier map', 'Added a map of the courier to tracking'],
  ['perf(stock): cache levels', 'Stock levels load faster'],
  ['fix(returns): label size', 'Fixed the size of return labels'],
  ['feat(auth): passkeys', 'Added sign-in with passkeys'],
] as const;

const releaseNotes: LoopPlan = {
  loop: 'release-notes',
  owner: 'developer-relations',
  description: 'Turns the one commit that users notice into a line of release notes.',
  story: 'works as it should',
  schedule: '0 15 * * 1-5',
  everyHours: 24,
  owns: ['release-notes'],
  reads: ['changelog'],
  size: (draw) => ({ runs: draw.int(175, 225) }),
  phases: [
    {
      accuracy: 0.93,
      served: 'gpt-4.1-mini-2025-04-14',
      system: 'You write release notes: one line, no full stop, what changed for users.',
    },
  ],
  reference: (index) => `release 24.${index + 100}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const change = draw.pick(CHANGES);
    const line = change[1];
    const hidden = draw.sample(
      ['chore: lint', 'ci: cache', 'test: stock', 'refactor: names', 'build: node 24'],
      2,
    );
    const [first, second] = others(CHANGES, change);
    return {
      subject: change[0],
      input: `${reference} has these commits: ${[...hidden, change[0]].join('; ')}. Write its line of release notes.`,
      expected: line,
      right: [line, `${line}\n`],
      wrong: [first[1], second![1], 'Various improvements and fixes'],
    };
  },
  scorer: 'text',
  maker: { agent: 'writer', protocol: 'openai', model: 'gpt-4.1-mini', stream: true },
  subs: [
    {
      agent: 'commit-reader',
      protocol: 'openai',
      model: 'gpt-4.1-nano',
      served: 'gpt-4.1-nano-2025-04-14',
      share: 0.4,
      ask: (task) => `Would users notice "${task.subject}"?`,
      answer: (_, draw) => draw.pick(['Yes, in the app.', 'Yes, if they use that page.']),
    },
  ],
  checker: {
    kind: 'model',
    agent: 'editor',
    protocol: 'openai',
    model: 'gpt-4o-mini',
    served: 'gpt-4o-mini-2024-07-18',
    says: JSON_VERDICT,
    passes: { right: 0.97, wrong: 0.5 },
  },
  effect: { name: 'note_published', share: 0.9, accepted: { right: 0.99, wrong: 0.3 } },
};

const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const;
const FLAWS = {
  low: 'a log line that names an internal host',
  medium: 'a redirect that can be steered',
  high: 'a path that leaves its folder',
  critical: 'a template that evaluates its input',
} as const;

const securityAdvisories: LoopPlan = {
  loop: 'security-advisories',
  owner: 'security',
  description: 'Rates new advisories by what they mean for Northwind.',
  story: 'works as it should, on Anthropic models throughout, with a sub-agent',
  schedule: '15 * * * *',
  everyHours: 6,
  owns: ['advisory-ratings'],
  reads: ['lockfiles', 'advisories'],
  size: (draw) => ({ runs: draw.int(175, 225) }),
  phases: [
    {
      accuracy: 0.96,
      served: 'claude-sonnet-4-5-20250929',
      system: 'You rate advisories. Answer with JSON: {"severity": "low" | "medium" | "high" | "critical"}.',
    },
  ],
  reference: (index) => `NW-2026-${1000 + index}`,
  golden: { matchedBy: 'item', cases: 50 },
  task(draw) {
    const severity = draw.pick(SEVERITIES);
    const subject = `${draw.pick(['http-client', 'zip-reader', 'markdown', 'session-store'])} ${draw.int(1, 9)}.${draw.int(0, 20)}`;
    const rate = (to: string) => JSON.stringify({ severity: to });
    const [first, second, third] = others(SEVERITIES, severity);
    return {
      subject,
      input: `${subject} has ${FLAWS[severity]}. We run it in ${draw.int(1, 12)} services. How severe is that for us?`,
      expected: severity,
      right: [rate(severity), `\`\`\`json\n${rate(severity)}\n\`\`\``],
      wrong: [rate(first), rate(second!), rate(third!)],
    };
  },
  scorer: { json: '$.severity' },
  maker: { agent: 'rater', protocol: 'anthropic', model: 'claude-sonnet-4-5', stream: true },
  subs: [
    {
      agent: 'exposure-scout',
      protocol: 'anthropic',
      model: 'claude-haiku-4-5',
      served: 'claude-haiku-4-5-20251001',
      share: 0.5,
      ask: (task) => `Which services that face the internet run ${task.subject}?`,
      answer: (_, draw) =>
        draw.pick(['None that I found.', 'storefront only.', 'storefront and courier-app.']),
    },
  ],
  checker: {
    kind: 'model',
    agent: 'auditor',
    protocol: 'anthropic',
    model: 'claude-haiku-4-5',
    served: 'claude-haiku-4-5-20251001',
    says: JSON_VERDICT,
    passes: { right: 0.98, wrong: 0.4 },
  },
  effect: { name: 'issue_filed', share: 0.6, accepted: { right: 0.98, wrong: 0.3 } },
};

const PHRASES = [
  ['Your parcel is on its way', 'Ihr Paket ist unterwegs'],
  ['Sign in', 'Anmelden'],
  ['Add to basket', 'In den Warenkorb'],
  ['Delivery tomorrow', 'Lieferung morgen'],
  ['Return this item', 'Artikel zurückgeben'],
  ['Track your order', 'Bestellung verfolgen'],
] as const;

const translationSync: LoopPlan = {
  loop: 'translation-sync',
  owner: 'localisation',
  description: 'Translates new strings of the shop into German.',
  story: 'works as it should; a program, not a model, checks it',
  schedule: '45 */4 * * *',
  everyHours: 4,
  owns: ['german-strings'],
  reads: ['english-strings'],
  size: (draw) => ({ runs: draw.int(175, 225) }),
  phases: [
    {
      accuracy: 0.9,
      served: 'gpt-4o-mini-2024-07-18',
      system: 'You translate strings of a shop into German. Answer with the translation only.',
    },
  ],
  reference: (index) => `string shop.${7000 + index}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const phrase = draw.pick(PHRASES);
    const [english, german] = phrase;
    const [first, second] = others(PHRASES, phrase);
    return {
      subject: english,
      input: `Translate ${reference}: "${english}" (at most ${draw.int(24, 60)} characters)`,
      expected: german,
      right: [german, ` ${german}`],
      wrong: [english, first[1], second![1]],
    };
  },
  scorer: 'text',
  maker: { agent: 'translator', protocol: 'openai', model: 'gpt-4o-mini', stream: false },
  subs: [],
  checker: { kind: 'posted', agent: 'placeholder-check', passes: { right: 0.98, wrong: 0.95 } },
  effect: { name: 'strings_pushed', share: 0.95, accepted: { right: 0.99, wrong: 0.4 } },
};

export const RELEASE_LOOPS: readonly LoopPlan[] = [releaseNotes, securityAdvisories, translationSync];
