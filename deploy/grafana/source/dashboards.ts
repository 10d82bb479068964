import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { fleet } from './fleet.ts';
import { gateway } from './gateway.ts';
import { loop } from './loop.ts';
import { money } from './money.ts';
import { pipeline } from './pipeline.ts';
import { run } from './run.ts';
import type { DashboardName } from './words.ts';

/** The dashboards, by the names of their files. */
export const DASHBOARDS: Readonly<Record<DashboardName, () => Dashboard>> = {
  fleet,
  loop,
  run,
  money,
  gateway,
  pipeline,
};
