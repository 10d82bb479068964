import type { Fleet } from './fleet.ts';
import { buildLoop } from './northwind/build.ts';
import { CODE_LOOPS } from './northwind/code-loops.ts';
import { DESK_LOOPS } from './northwind/desk-loops.ts';
import { RELEASE_LOOPS } from './northwind/release-loops.ts';

export type { Fleet, FleetLoop } from './fleet.ts';

/**
 * The fleet of Northwind, a company that does not exist: eleven loops, of which one fails silently. Everything in
 * it is made up but the models' names; nothing here says anything about those models. One seed, one fleet.
 */
export function northwind(seed: number): Fleet {
  const loops = [...CODE_LOOPS, ...RELEASE_LOOPS, ...DESK_LOOPS].map((plan) => ({
    plan,
    ...buildLoop(plan, seed),
  }));
  const failing = loops.find(({ plan }) => plan.loop === 'dependency-bump')!;
  return {
    loops: loops.map(({ plan: _, turn: __, ...loop }) => loop),
    truth: {
      loop: 'dependency-bump',
      change_at_run: failing.turn!,
      from: failing.plan.phases[0].served,
      to: failing.plan.phases.at(-1)!.served,
    },
  };
}
