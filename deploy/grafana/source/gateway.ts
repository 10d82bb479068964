import { dashboard } from './dashboard.ts';
import { BYTES, COUNT, type Look, SECONDS, SHARE, USD } from './looks.ts';
import { figures, graph, grid, timeline } from './panels.ts';
import * as sql from './queries/gateway.ts';
import * as variables from './variables.ts';
import { addressNow, BREAKERS, field } from './words.ts';

/** The gateway: is it slow, does it fail, whom does it hold back. */

const RED_FROM_ONE: Look = {
  ...COUNT,
  thresholds: [
    [null, 'text'],
    [1, 'red'],
  ],
};

/** The roles report every 15 seconds. */
const READINGS = '30s';

export const gateway = () =>
  dashboard('gateway', {
    description: 'Traffic, latency, attempts, breakers, budgets and limits.',
    from: 'now-6h',
    variables: [variables.requestModel()],
    panels: [
      figures({ title: 'Calls', width: 24, height: 4 }, sql.calls, {
        'Calls a second': { unit: 'reqps' },
        Errors: {
          unit: 'percentunit',
          decimals: 1,
          thresholds: [
            [null, 'text'],
            [0.01, 'orange'],
            [0.05, 'red'],
          ],
        },
        'Whole answer, p95': SECONDS,
        'First chunk, p95': SECONDS,
      }),
      graph({ title: 'Calls a second, by provider', width: 8, height: 8, interval: '1m' }, sql.traffic, {
        look: { unit: 'reqps' },
        series: 'provider',
        stacked: true,
        min: 0,
      }),
      graph(
        {
          title: 'Whole answers',
          description: 'From request to the last byte.',
          width: 8,
          height: 8,
          interval: '1m',
        },
        sql.latency,
        { look: SECONDS, min: 0 },
      ),
      graph({ title: 'Time to the first chunk', width: 8, height: 8, interval: '1m' }, sql.firstChunk, {
        look: SECONDS,
        min: 0,
      }),
      graph(
        {
          title: 'Calls by error',
          description: 'As callers got them, after all attempts.',
          width: 8,
          height: 8,
          interval: '1m',
        },
        sql.errors,
        { look: COUNT, series: 'error', looks: { none: { color: 'green' } }, stacked: true, min: 0 },
      ),
      graph(
        {
          title: 'Answers of providers, by status',
          description: 'Status 0: the caller left first.',
          width: 8,
          height: 8,
          interval: READINGS,
        },
        sql.statuses,
        { look: COUNT, series: 'answer', stacked: true, min: 0 },
      ),
      graph(
        {
          title: 'Attempts, by target and outcome',
          description: 'A call whose first attempt fails takes more than one, here or at another target.',
          width: 8,
          height: 8,
          interval: READINGS,
        },
        sql.attempts,
        { look: COUNT, series: 'attempt', stacked: true, min: 0 },
      ),
      timeline(
        {
          title: 'Circuit breakers, by target',
          description: 'The worst that any gateway sees.',
          width: 12,
          height: 7,
          interval: READINGS,
        },
        sql.breakers,
        'target',
        BREAKERS,
      ),
      graph({ title: 'Under way', width: 12, height: 7, interval: READINGS }, sql.underWay, {
        look: COUNT,
        series: 'what',
        min: 0,
      }),
      grid(
        {
          title: 'Budgets, by loop',
          description:
            "Most a day is the lowest daily limit in the loop's own file; limits in loopscope.yaml are the gateway's to know. Days are UTC.",
          width: 12,
          height: 8,
        },
        sql.budgets,
        {
          Loop: { link: { title: 'Look at this loop', url: addressNow('loop', { loop: field('Loop') }) } },
          'Spent today': USD,
          'In this range': USD,
          'Most a day': { ...USD, noValue: 'no limit' },
          Used: {
            ...SHARE,
            bar: true,
            width: 110,
            thresholds: [
              [null, 'green'],
              [0.8, 'orange'],
              [1, 'red'],
            ],
          },
          Calls: COUNT,
          Errors: RED_FROM_ONE,
        },
      ),
      graph(
        {
          title: 'Held back by limits, or refused',
          description:
            'Calls that waited, were refused or would have been (audited), and what the gateway refuses for other reasons.',
          width: 12,
          height: 8,
          interval: READINGS,
        },
        sql.limits,
        { look: COUNT, series: 'series', min: 0 },
      ),
      grid({ title: 'Models', width: 24, height: 9 }, sql.byModel, {
        Provider: { width: 100 },
        Calls: COUNT,
        Errors: { ...RED_FROM_ONE, width: 70 },
        'Tokens in': COUNT,
        'Tokens out': COUNT,
        Spend: USD,
        p50: SECONDS,
        p95: SECONDS,
        'First chunk, p95': SECONDS,
      }),
      graph(
        {
          title: 'Spans handed to the collector',
          description: 'Lost is what was not written, was not taken, or was damaged on disk.',
          width: 8,
          height: 7,
          interval: READINGS,
        },
        sql.delivery,
        { look: COUNT, series: 'series', min: 0 },
      ),
      graph(
        {
          title: 'Spool',
          description: 'Spans on disk that no collector has. When it is full, calls are refused.',
          width: 8,
          height: 7,
          interval: READINGS,
        },
        sql.spool,
        { look: BYTES, min: 0 },
      ),
      graph(
        {
          title: 'Calls answered from a recording',
          description: 'Those with an Idempotency-Key, and those of loops with a cache.',
          width: 8,
          height: 7,
          interval: READINGS,
        },
        sql.replays,
        { look: COUNT, series: 'call', min: 0 },
      ),
    ],
  });
