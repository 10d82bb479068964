import { JSON_VERDICT, type LoopPlan, others } from './plan.ts';

/** The loops at Northwind's desks: support, finance, operations and planning. */

const QUEUES = ['billing', 'delivery', 'returns', 'account'] as const;
const COMPLAINTS = {
  billing: ['was charged twice', 'cannot find an invoice'],
  delivery: ['waits for a parcel since Monday', 'got a neighbour’s parcel'],
  returns: ['has no return label', 'sent a lamp back and heard nothing'],
  account: ['cannot sign in', 'wants another e-mail address'],
} as const;

const ticketTriage: LoopPlan = {
  loop: 'ticket-triage',
  owner: 'support',
  description: 'Sorts incoming tickets into the queue that can help.',
  story: 'noisy: right two times in three, and that does not change',
  schedule: '*/20 * * * *',
  everyHours: 1,
  owns: ['ticket-labels'],
  reads: ['tickets'],
  size: (draw) => ({ runs: draw.int(200, 225) }),
  phases: [
    {
      accuracy: 0.65,
      served: 'claude-3-5-haiku-20241022',
      system: 'You sort tickets. Answer with one word: billing, delivery, returns or account.',
    },
  ],
  reference: (index) => `ticket T-${30_000 + index * 3}`,
  golden: { matchedBy: 'item', cases: 60 },
  task(draw) {
    const queue = draw.pick(QUEUES);
    const subject = `a customer who ${draw.pick(COMPLAINTS[queue])}`;
    return {
      subject,
      input: `From ${subject}, order ${draw.int(100_000, 999_999)}. Which queue?`,
      expected: queue,
      right: [queue],
      wrong: others(QUEUES, queue),
    };
  },
  scorer: 'exact',
  maker: { agent: 'sorter', protocol: 'anthropic', model: 'claude-3-5-haiku-latest', stream: false },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'desk-lead',
    protocol: 'openai',
    model: 'gpt-4o-mini',
    served: 'gpt-4o-mini-2024-07-18',
    says: JSON_VERDICT,
    passes: { right: 0.88, wrong: 0.7 },
  },
  effect: { name: 'ticket_labelled', share: 1, accepted: { right: 0.98, wrong: 0.2 } },
};

const invoiceMatch: LoopPlan = {
  loop: 'invoice-match',
  owner: 'finance',
  description: 'Adds up the positions of an invoice that belong to an order.',
  story: 'works as it should; its answers are numbers, right within a cent',
  schedule: '0 7 * * 1-5',
  everyHours: 24,
  owns: ['payment-matches'],
  reads: ['invoices', 'orders'],
  size: (draw) => ({ runs: draw.int(175, 225) }),
  phases: [
    {
      accuracy: 0.95,
      served: 'gpt-4o-2024-11-20',
      system: 'You match invoices. Answer with the sum in euros, as a number.',
    },
  ],
  reference: (index) => `invoice ${20_260_000 + index}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const cents = Array.from({ length: draw.int(2, 4) }, () => draw.int(100, 90_000));
    const sum = cents.reduce((a, b) => a + b, 0);
    const euros = (c: number) => (c / 100).toFixed(2);
    return {
      subject: `${cents.length} positions`,
      input: `${reference} lists ${cents.map(euros).join(', ')} for order ${draw.int(10_000, 99_999)}. What is the sum?`,
      expected: euros(sum),
      right: [euros(sum), euros(sum + 1), `Sum: ${euros(sum)}`],
      wrong: [euros(sum - cents[0]!), euros(sum + 1000), euros(Math.round(sum * 1.19))],
    };
  },
  // A cent, and what subtracting two decimal fractions adds to it.
  scorer: { numeric: { absolute: 0.0101, relative: 0 } },
  maker: { agent: 'matcher', protocol: 'openai', model: 'gpt-4o', stream: false },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'controller',
    protocol: 'openai',
    model: 'gpt-4.1-mini',
    served: 'gpt-4.1-mini-2025-04-14',
    says: JSON_VERDICT,
    passes: { right: 0.99, wrong: 0.3 },
  },
  effect: { name: 'payment_matched', share: 0.85, accepted: { right: 0.99, wrong: 0.1 } },
};

const SIGNALS = ['disk 90 % full', 'queue growing', 'latency over 2 s', 'certificate near its end'] as const;

const alertDedup: LoopPlan = {
  loop: 'alert-dedup',
  owner: 'operations',
  description: 'Says which open incident an alert belongs to, or that it is new.',
  story: 'improves half-way, when its instructions are rewritten',
  schedule: '*/10 * * * *',
  everyHours: 1,
  owns: ['incident-links'],
  reads: ['alerts', 'incidents'],
  size(draw) {
    const runs = draw.int(200, 225);
    return { runs, turn: Math.round(runs / 2) };
  },
  phases: [
    {
      accuracy: 0.7,
      served: 'claude-haiku-4-5-20251001',
      system: 'You deduplicate alerts. Answer with the incident or "new".',
    },
    {
      accuracy: 0.9,
      served: 'claude-haiku-4-5-20251001',
      system:
        'You deduplicate alerts. Compare host, signal and time with each open incident. Answer with the incident or "new".',
    },
  ],
  reference: (index) => `alert A-${500_000 + index * 11}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const open = Array.from({ length: 3 }, (_, i) => `INC-${2000 + i * 50 + draw.int(0, 49)}`);
    const options = [...open, 'new'];
    const incident = draw.pick(options as [string, ...string[]]);
    const signal = draw.pick(SIGNALS);
    const host = `web-${draw.int(1, 40)}`;
    return {
      subject: `${signal} on ${host}`,
      input: `${reference}: ${signal} on ${host}. Open incidents: ${open.join(', ')}. Which one is it?`,
      expected: incident,
      right: [incident],
      wrong: others(options, incident),
    };
  },
  scorer: 'exact',
  maker: { agent: 'matcher', protocol: 'anthropic', model: 'claude-haiku-4-5', stream: true },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'shift-lead',
    protocol: 'openai',
    model: 'gpt-4o-mini',
    served: 'gpt-4o-mini-2024-07-18',
    says: JSON_VERDICT,
    passes: { right: 0.95, wrong: 0.6 },
  },
  effect: { name: 'alert_linked', share: 0.75, accepted: { right: 0.98, wrong: 0.2 } },
};

const POINTS = ['1', '2', '3', '5', '8'] as const;
const STORIES = {
  '1': 'change the wording of a button',
  '2': 'add a column to a report',
  '3': 'let customers rename an address',
  '5': 'send parcels to a locker',
  '8': 'price by region',
} as const;

const backlogGroomer: LoopPlan = {
  loop: 'backlog-groomer',
  owner: 'product',
  description: 'Estimates new stories in points.',
  story: 'works as it should',
  schedule: '0 6 * * 1',
  everyHours: 12,
  owns: ['story-estimates'],
  reads: ['backlog'],
  size: (draw) => ({ runs: draw.int(175, 225) }),
  phases: [
    {
      accuracy: 0.85,
      served: 'gpt-5-mini-2025-08-07',
      system: 'You estimate stories. End with "estimate: " and 1, 2, 3, 5 or 8.',
    },
  ],
  reference: (index) => `story NW-${6000 + index}`,
  golden: { matchedBy: 'input' },
  task(draw, reference) {
    const points = draw.pick(POINTS);
    const says = (to: string) => `Comparable to earlier stories of that kind.\nEstimate: ${to}`;
    const [first, second] = others(POINTS, points);
    return {
      subject: STORIES[points],
      input: `${reference}: ${STORIES[points]}, for ${draw.int(1, 30)} shops. How many points?`,
      expected: points,
      right: [says(points), `estimate: ${points}`],
      wrong: [says(first), says(second!), 'That depends on the team.'],
    };
  },
  scorer: { regex: 'estimate:\\s*(\\d+)', flags: 'i', group: 1 },
  maker: { agent: 'estimator', protocol: 'openai', model: 'gpt-5-mini', stream: true },
  subs: [],
  checker: {
    kind: 'model',
    agent: 'planner',
    protocol: 'anthropic',
    model: 'claude-haiku-4-5',
    served: 'claude-haiku-4-5-20251001',
    says: JSON_VERDICT,
    passes: { right: 0.94, wrong: 0.7 },
  },
  effect: { name: 'story_estimated', share: 1, accepted: { right: 0.95, wrong: 0.5 } },
};

export const DESK_LOOPS: readonly LoopPlan[] = [ticketTriage, invoiceMatch, alertDedup, backlogGroomer];
