import { dashboard } from './dashboard.ts';
import { COUNT, type Look, SHARE, USD } from './looks.ts';
import { figures, graph, grid } from './panels.ts';
import * as sql from './queries/money.ts';
import * as variables from './variables.ts';
import { addressNow, field } from './words.ts';

/** Money: on what it goes, what comes of it, and what nothing comes of. */

const toLoop: NonNullable<Look['link']> = {
  title: 'Look at this loop',
  url: addressNow('loop', { loop: field('Loop') }),
};

const UNKNOWN_COST: Look = {
  ...COUNT,
  width: 150,
  thresholds: [
    [null, 'text'],
    [1, 'orange'],
  ],
};

export const money = () =>
  dashboard('money', {
    description: 'Spend by loop, agent and model, and the dead weight: spend without a useful outcome.',
    from: 'now-30d',
    variables: [variables.loop('many'), variables.agent(), variables.servedModel()],
    panels: [
      figures(
        {
          title: 'In the chosen time',
          description:
            'Of whole runs, whichever agents and models are chosen. Dead weight is what was spent in runs of which nothing useful came: whose golden score does not pass or, where there is none, that had no effect that was kept. Where calls are of unknown cost, the sums are too low.',
          width: 24,
          height: 4,
        },
        sql.totals,
        {
          Spend: USD,
          'Per outcome': USD,
          'Useful outcomes': COUNT,
          'Dead weight': { ...USD, thresholds: [[null, 'orange']] },
          'of all spend': SHARE,
          'Calls of unknown cost': {
            ...COUNT,
            thresholds: [
              [null, 'text'],
              [1, 'orange'],
            ],
          },
        },
      ),
      graph(
        { title: 'Spend by loop', description: 'The 12 dearest.', width: 12, height: 8, interval: '1m' },
        sql.byLoop,
        {
          look: USD,
          series: 'loop',
          stacked: true,
          min: 0,
        },
      ),
      graph(
        {
          title: 'Spend by model',
          description: 'The model that answered; the 12 dearest.',
          width: 12,
          height: 8,
          interval: '1m',
        },
        sql.byModel,
        { look: USD, series: 'model', stacked: true, min: 0 },
      ),
      grid(
        {
          title: 'Dead weight',
          description: 'Spend without a useful outcome, the most first.',
          width: 24,
          height: 9,
        },
        sql.deadWeight,
        {
          Loop: { link: toLoop, width: 170 },
          Runs: COUNT,
          Useful: COUNT,
          Spend: USD,
          'Dead weight': USD,
          'of its spend': {
            ...SHARE,
            bar: true,
            width: 130,
            thresholds: [
              [null, 'green'],
              [0.25, 'orange'],
              [0.5, 'red'],
            ],
          },
          'Per outcome': USD,
          'Dearest useless run': {
            link: {
              title: 'Look at this run',
              url: addressNow('run', { loop: field('Loop'), run: field('Dearest useless run') }),
            },
          },
        },
      ),
      grid({ title: 'Spend by agent', width: 12, height: 9 }, sql.byAgent, {
        Loop: { link: toLoop, width: 150 },
        Agent: { width: 130 },
        Role: { width: 75 },
        Spend: { ...USD, width: 85 },
        'of all': { ...SHARE, bar: true, width: 100 },
        Calls: COUNT,
        'Tokens in': COUNT,
        'Tokens out': COUNT,
        'Calls of unknown cost': UNKNOWN_COST,
      }),
      grid({ title: 'Models', width: 12, height: 9 }, sql.models, {
        Spend: { ...USD, width: 85 },
        Calls: COUNT,
        'A call': USD,
        'A million tokens': USD,
        'Tokens in': COUNT,
        'Tokens out': COUNT,
        Loops: COUNT,
      }),
      graph(
        {
          title: 'Spend on one useful outcome',
          description: 'A gap: there was no useful outcome.',
          width: 16,
          height: 8,
          interval: '5m',
        },
        sql.outcomeCost,
        { look: USD, series: 'loop', min: 0 },
      ),
      grid(
        {
          title: 'What watching costs',
          description:
            'Beside what loops spend. Judges score runs, probes ask agents about golden data, replays play runs again.',
          width: 8,
          height: 8,
        },
        sql.watching,
        { 'How many': COUNT, Spend: { ...USD, noValue: 'nothing' } },
      ),
    ],
  });
