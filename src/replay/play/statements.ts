import { z } from 'zod';
import { LoopscopeError } from '../../errors.ts';
import type { StatementKind } from '../../gateway/route.ts';
import type { Statement } from '../recording.ts';

/** What a loop says of its run while it is replayed: it is said of the replay, and reaches nobody else. */

const Verdict = z.object({ pass: z.boolean(), checker: z.string().max(200).default('checker') });
const Effect = z.object({ name: z.string().min(1).max(200), accepted: z.boolean().optional() });
const Effects = z.union([
  z.object({ effects: z.array(Effect).max(1_000) }),
  z
    .object({ effect: z.string().min(1).max(200), accepted: z.boolean().optional() })
    .transform(({ effect, accepted }) => ({ effects: [{ name: effect, accepted }] })),
]);

export type Said = Pick<Statement, 'kind' | 'name' | 'pass'>;

/** Throws `bad_input`. That the run has ended is known when the loop has. */
export function readStatement(kind: StatementKind, body: Buffer): Said[] {
  if (kind === 'end') return [];
  const json = parse(body);
  const verdict = kind === 'verdict' ? Verdict.safeParse(json) : undefined;
  if (verdict?.success) return [{ kind: 'verdict', name: verdict.data.checker, pass: verdict.data.pass }];
  const effects = kind === 'effects' ? Effects.safeParse(json) : undefined;
  if (effects?.success)
    return effects.data.effects.map(({ name, accepted }) => ({
      kind: 'effect',
      name,
      pass: accepted ?? null,
    }));
  const expected = kind === 'verdict' ? '{"pass": true}' : '{"effects": [{"name": "pr_opened"}]}';
  throw new LoopscopeError(
    'bad_input',
    `${kind}: expected ${expected}; got ${body.toString('utf8', 0, 100)}.`,
  );
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
