import { dashboard } from './dashboard.ts';
import { COUNT, type Look, type Looks, SHARE, USD } from './looks.ts';
import { figures, graph, grid, shares } from './panels.ts';
import * as sql from './queries/fleet.ts';
import * as variables from './variables.ts';
import { addressNow, field, STATES } from './words.ts';

/** Ten seconds: which loop is in trouble, since when, what changed. Then what the fleet costs and brings. */

const toLoop: NonNullable<Look['link']> = {
  title: 'Look at this loop',
  url: addressNow('loop', { loop: field('Loop') }),
};

/** Checker and golden score have the same colours on every dashboard, and the interval those of the score. */
export const SCORE_LOOKS: Looks = {
  'Checker passes': { ...SHARE, color: 'blue', more: { 'custom.lineWidth': 2 } },
  'Golden score': { ...SHARE, color: 'orange', more: { 'custom.lineWidth': 2 } },
  'at least': {
    ...SHARE,
    color: 'light-orange',
    more: {
      'custom.lineWidth': 0,
      'custom.showPoints': 'never',
      'custom.hideFrom': { legend: true, tooltip: false, viz: false },
    },
  },
  'at most': {
    ...SHARE,
    color: 'light-orange',
    more: {
      'custom.lineWidth': 0,
      'custom.showPoints': 'never',
      'custom.fillBelowTo': 'at least',
      'custom.fillOpacity': 20,
      'custom.hideFrom': { legend: true, tooltip: false, viz: false },
    },
  },
};

const stateFigure = (state: string): Look => ({
  ...COUNT,
  thresholds: [
    [null, 'text'],
    [1, STATES[state]!.color],
  ],
});

const RATE: Look = {
  ...SHARE,
  bar: true,
  width: 105,
  thresholds: [
    [null, 'red'],
    [0.5, 'orange'],
    [0.8, 'green'],
  ],
};

export const fleet = () =>
  dashboard('fleet', {
    description: 'Every loop: is it still doing anything useful?',
    from: 'now-24h',
    variables: [variables.loop('many')],
    panels: [
      figures(
        {
          title: 'Loops by state, now',
          description:
            'The states of `loopscope status`. Failing silently: its checker goes on passing while its work has become worthless. Unmeasured: too little golden data to say, which is never green.',
          width: 24,
          height: 4,
        },
        sql.states,
        {
          'Failing silently': stateFigure('silently_failing'),
          Failing: stateFigure('failing'),
          Suspect: stateFigure('suspect'),
          Idle: stateFigure('idle'),
          Unmeasured: stateFigure('unmeasured'),
          Healthy: stateFigure('healthy'),
        },
      ),
      grid(
        {
          title: 'Loops, the worst first',
          description:
            'State and golden score are as of now; the other figures are those of the runs in the chosen time. The interval of the golden score is a 95 % one over the latest 200 scores since the last change.',
          width: 24,
          height: 12,
        },
        sql.loops,
        {
          State: { states: STATES, width: 115 },
          Loop: { link: toLoop, width: 150 },
          Since: { unit: 'dateTimeFromNow', width: 95 },
          'What changed': { width: 220 },
          'Checker passes': RATE,
          'Golden score': RATE,
          'at least': { ...SHARE, width: 62 },
          'at most': { ...SHARE, width: 62 },
          Scored: { ...COUNT, width: 75 },
          Runs: { ...COUNT, width: 60 },
          'Effects/run': { decimals: 2, width: 85 },
          Spend: { ...USD, width: 70 },
          'Per outcome': { ...USD, width: 90 },
          'Answered by': { width: 260 },
          'Last run': { unit: 'dateTimeFromNow', width: 120 },
          Owner: { width: 150 },
        },
      ),
      graph(
        {
          title: 'The loop worst off: checker against golden data',
          description:
            'Means of its last 50 runs, the golden score with its 95 % interval. Where the lines part, the checker passes what is wrong. Its name stands first in the table.',
          width: 12,
          height: 8,
        },
        sql.worst,
        { looks: SCORE_LOOKS, look: SHARE, min: 0, max: 1 },
      ),
      shares(
        {
          title: 'Checker against golden data, the widest gap first',
          description: 'The golden score with the ends of its 95 % interval.',
          width: 12,
          height: 8,
        },
        sql.gaps,
        'Loop',
        {
          'Checker passes': { color: 'blue' },
          'Golden score': { color: 'orange' },
          'at least': { color: 'light-orange' },
          'at most': { color: 'light-orange' },
        },
      ),
      grid(
        {
          title: 'What changed',
          description:
            'Alerts, models that answer under an old name or retire, registrations, and what people accepted.',
          width: 12,
          height: 9,
        },
        sql.changes,
        {
          Time: { unit: 'dateTimeAsLocal', width: 165 },
          Loop: { link: toLoop, width: 160 },
          What: { width: 190 },
        },
      ),
      graph({ title: 'Runs and effects', width: 6, height: 9, interval: '1m' }, sql.outcomes, {
        look: COUNT,
        looks: {
          Runs: { color: 'blue' },
          'of them failed': { color: 'red' },
          Effects: { color: 'green' },
          'of them turned down': { color: 'orange' },
        },
        min: 0,
      }),
      graph(
        {
          title: 'Spend by loop',
          description: 'List prices, or your own; calls of unknown cost are not in it. The 12 dearest loops.',
          width: 6,
          height: 9,
          interval: '1m',
        },
        sql.spend,
        { look: USD, series: 'loop', stacked: true, min: 0 },
      ),
    ],
  });
