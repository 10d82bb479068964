import { z } from 'zod';

/** `$`, then field names, array indices or `*` for any of them. */
const path = z
  .string()
  .regex(
    /^\$(\.([A-Za-z0-9_-]+|\*))*$/,
    'expected a path such as $.items.*.price, with * for any field or index',
  );

const PATHS_MAX = 200;
const paths = z.array(path).max(PATHS_MAX);

export const JsonDiffSettings = z.strictObject({
  /** How much each leaf at or below a path counts; 1 where no path says. The longest path wins. */
  weights: z
    .record(path, z.number().min(0).max(1e6))
    .refine((weights) => Object.keys(weights).length <= PATHS_MAX, `expected at most ${PATHS_MAX} paths`)
    .default({}),
  /** What stands at or below these paths is not looked at. */
  ignore: paths.default([]),
  /** Numbers are equal within the wider of the two. */
  absolute: z.number().min(0).default(0),
  relative: z.number().min(0).default(0),
  /** Arrays whose order does not matter. */
  unordered: paths.default([]),
});

export type JsonDiffSettings = z.output<typeof JsonDiffSettings>;
