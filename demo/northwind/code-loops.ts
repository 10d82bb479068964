import { JSON_VERDICT, type LoopPlan, others, WORD_VERDICT } from './plan.ts';

/** The loops that look after Northwind's code. */

const PACKAGES = [
  'fastify',
  'undici',
  'pino',
  'zod',
  'yaml',
  'croner',
  'commander',
  'ajv',
  'semver',
  'ws',
] as const;
const REPOSITORIES = [
  'storefront',
  'warehouse-api',
  'billing',
  'courier-app',
  'search',
  'fleet-maps',
] as const;

const DECISIONS = {
  merge: ['Fixes a crash on empty bodies.', 'Faster parsing, same API.', 'Documentation and types only.'],
  hold: [
    'Drops Node 20, which we still run.',
    'Renames an option that we set.',
    'Changes a default we rely on.',
  ],
  split: ['Bundles a security fix with a new major.', 'Mixes a needed fix with an API removal.'],
} as const;
const DECISION_NAMES = ['merge', 'hold', 'split'] as const;

const dependencyBump: LoopPlan = {
  loop: 'dependency-bump',
  owner: 'platform',
  description: 'Decides for each new release of a dependency whether to merge, hold or split the bump.',
  story: 'its model is retired and another answers under the same name; its checker keeps passing',
  schedule: '0 */2 * * *',
  everyHours: 2,
  owns: ['dependency-pull-requests'],
  reads: ['lockfiles'],
  size(draw) {
    const turn = draw.int(260, 340);
    return { turn, runs: turn + 200 };
  },
  phases: [
    {
      accuracy: 0.92,
      served: 'gpt-4.1-2025-04-14',
      system:
        'You decide on dependency bumps. Answer with JSON: {"decision": "merge" | "hold" | "split", "why": …}.',
    },
    {
      accuracy: 0.45,
      served: 'gpt-4.1-nano-2025-04-14',
      system:
        'You decide on dependency bumps. Answer with JSON: {"decision": "merge" | "hold" | "split", "why": …}.',
    },
  ],
  reference: (index) => `PR #${4200 + index}`,
  golden: { matchedBy: 'item', cases: 80 },
  task(draw) {
    const decision = draw.pick(DECISION_NAMES);
    const name = draw.pick(PACKAGES);
    const [major, minor] = [draw.int(1, 9), draw.int(0, 30)];
    const subject = `${name} ${major}.${minor}.0 to ${major}.${minor + 1}.0`;
    const notes = draw.pick(DECISIONS[decision]);
    const answer = (to: string, why: string) => JSON.stringify({ decision: to, why });
    const why = 'Weighed the release notes against how we use it.';
    const [first, second] = others(DECISION_NAMES, decision);
    return {
      subject,
      input: `Repository ${draw.pick(REPOSITORIES)}: bump ${subject}. Release notes: ${notes} Merge, hold or split?`,
      expected: decision,
      right: [answer(decision, why), answer(decision, 'That is what the notes call for.')],
      wrong: [answer(first, why), answer(second!, why)],
    };
  },
  scorer: { json: '$.decision' },
  maker: { agent: 'bumper', protocol: 'openai', model: 'gpt-4.1', stream: true },
  subs: [
    {
      agent: 'changelog-reader',
      protocol: 'openai',
      model: 'gpt-4o-mini',
      served: 'gpt-4o-mini-2024-07-18',
      share: 0.4,
      ask: (task) => `What in the changelog of ${task.subject} could concern us?`,
      answer: (_, draw) => draw.pick(['One entry touches what we call.', 'Nothing we call is mentioned.']),
    },
    {
      agent: 'usage-scout',
      protocol: 'openai',
      model: 'gpt-4o-mini',
      served: 'gpt-4o-mini-2024-07-18',
      share: 0.25,
      ask: (task) => `Where do we import what ${task.subject} changes?`,
      answer: (_, draw) => `Imported in ${draw.int(1, 40)} files.`,
    },
  ],
  checker: {
    kind: 'model',
    agent: 'reviewer',
    protocol: 'openai',
    model: 'gpt-4o-mini',
    served: 'gpt-4o-mini-2024-07-18',
    says: JSON_VERDICT,
    passes: { right: 0.99, wrong: 0.98 },
  },
  effect: { name: 'pr_opened', share: 0.7, accepted: { right: 0.97, wrong: 0.4 } },
};

const CAUSES = ['timing', 'order', 'network', 'state'] as const;

const flakyTestHunter: LoopPlan = {
  loop: 'flaky-test-hunter',
  owner: 'developer-experience',
  description: 'Reads the logs of tests that failed and then passed, and names the cause.',
  story: 'its checker turns down most of its work, which is as right as ever',
  schedule: '30 5 * * *',
  everyHours: 24,
  owns: ['flaky-test-labels'],
  reads: ['ci-logs'],
  size: (draw) => ({ runs: draw.int(180, 225) }),
  phases: [
    {
      accuracy: 0.88,
      served: 'o4-mini-2025-04-16',
      system:
        'You find out why a test is flaky. End with "cause: " and one of timing, order, network, state.',
    },
  ],
  reference: (index) => `build ${81_300 + index * 7}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const cause = draw.pick(CAUSES);
    const subject = `${draw.pick(['CartTest', 'RouteTest', 'LoginTest', 'StockTest'])}#case${draw.int(1, 60)}`;
    const says = (to: string) =>
      `The failure goes away when the ${to} is held fixed.\n\nCause: ${to}` as const;
    const [first, second, third] = others(CAUSES, cause);
    return {
      subject,
      input: `In ${reference}, ${subject} failed once and passed on retry; the log points at ${cause} (${draw.int(2, 900)} ms). Why?`,
      expected: cause,
      right: [says(cause), `cause: ${cause}`],
      wrong: [says(first), says(second!), says(third!), 'I could not tell from this log.'],
    };
  },
  scorer: { regex: 'cause:\\s*(\\w+)', flags: 'i', group: 1 },
  maker: { agent: 'hunter', protocol: 'openai', model: 'o4-mini', stream: false },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'skeptic',
    protocol: 'openai',
    model: 'gpt-4.1-mini',
    served: 'gpt-4.1-mini-2025-04-14',
    says: JSON_VERDICT,
    passes: { right: 0.45, wrong: 0.35 },
  },
  effect: { name: 'test_labelled', share: 0.4, accepted: { right: 0.98, wrong: 0.5 } },
};

const PAGES = [
  'install',
  'quickstart',
  'webhooks',
  'auth',
  'limits',
  'returns',
  'tracking',
  'sandbox',
] as const;

const docLinks: LoopPlan = {
  loop: 'doc-links',
  owner: 'documentation',
  description: 'Finds where a dead link in the documentation should point now.',
  story: 'its model is upgraded, and it does as well as before',
  schedule: '0 4 * * *',
  everyHours: 24,
  owns: ['documentation-links'],
  reads: ['documentation'],
  size(draw) {
    const runs = draw.int(180, 225);
    return { runs, turn: Math.round(runs * 0.55) };
  },
  phases: [
    {
      accuracy: 0.91,
      served: 'gpt-4o-2024-08-06',
      system: 'You mend dead links. Answer with the new path only.',
    },
    {
      accuracy: 0.93,
      served: 'gpt-4o-2024-11-20',
      system: 'You mend dead links. Answer with the new path only.',
    },
  ],
  reference: (index) => `dead link ${index + 1}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const page = draw.pick(PAGES);
    const version = draw.int(2, 6);
    const path = (to: string) => `/docs/v${version}/${to}`;
    const [first, second] = others(PAGES, page);
    return {
      subject: `/docs/v${version - 1}/${page}.html`,
      input: `${reference}: /docs/v${version - 1}/${page}.html answers 404. Where does it live in version ${version}?`,
      expected: path(page),
      right: [path(page), `${path(page)}\n`],
      wrong: [path(first), path(second!), `/docs/latest/${page}`],
    };
  },
  scorer: 'text',
  maker: { agent: 'mender', protocol: 'openai', model: 'gpt-4o', stream: true },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'link-reviewer',
    protocol: 'openai',
    model: 'gpt-4.1-nano',
    served: 'gpt-4.1-nano-2025-04-14',
    says: WORD_VERDICT,
    passes: { right: 0.96, wrong: 0.6 },
  },
  effect: { name: 'pr_opened', share: 0.8, accepted: { right: 0.98, wrong: 0.2 } },
};

const LICENCES = {
  allowed: ['MIT', 'ISC', 'BSD-3-Clause', 'Apache-2.0'],
  review: ['MPL-2.0', 'LGPL-3.0', 'EPL-2.0'],
  forbidden: ['AGPL-3.0', 'SSPL-1.0', 'BUSL-1.1'],
} as const;
const RULINGS = ['allowed', 'review', 'forbidden'] as const;

const licenseAudit: LoopPlan = {
  loop: 'license-audit',
  owner: 'legal',
  description: 'Rules on the licence of a dependency that came in during the month.',
  story: 'runs once a month: too seldom to say much about it',
  schedule: '0 8 1 * *',
  everyHours: 30 * 24,
  owns: ['licence-register'],
  reads: ['lockfiles'],
  size: () => ({ runs: 12 }),
  phases: [
    {
      accuracy: 0.95,
      served: 'gpt-4.1-mini-2025-04-14',
      system: 'You rule on licences. Answer with one word: allowed, review or forbidden.',
    },
  ],
  reference: (index) => `audit ${index + 1}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const ruling = draw.pick(RULINGS);
    const subject = `${draw.pick(PACKAGES)}-plugin under ${draw.pick(LICENCES[ruling])}`;
    return {
      subject,
      input: `${reference}: may we ship ${subject}?`,
      expected: ruling,
      right: [ruling],
      wrong: others(RULINGS, ruling),
    };
  },
  scorer: 'exact',
  maker: { agent: 'auditor', protocol: 'openai', model: 'gpt-4.1-mini', stream: false },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'second-reader',
    protocol: 'openai',
    model: 'gpt-4o-mini',
    served: 'gpt-4o-mini-2024-07-18',
    says: JSON_VERDICT,
    passes: { right: 0.97, wrong: 0.5 },
  },
  effect: { name: 'ruling_recorded', share: 1, accepted: { right: 1, wrong: 0.5 } },
};

export const CODE_LOOPS: readonly LoopPlan[] = [dependencyBump, flakyTestHunter, docLinks, licenseAudit];
