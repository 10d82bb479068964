import type { Command } from 'commander';
import { createKey, listKeys, revokeKey } from '../registry/keys.ts';
import type { StoredKey } from '../store/keys.ts';
import { requireName } from './arguments.ts';
import type { CliContext } from './context.ts';
import { iso, time } from './format.ts';
import { type Column, table } from './table.ts';

/** `keys`: virtual keys, by which the gateway knows who calls. */
export function add(program: Command, context: CliContext): void {
  const keys = program.command('keys').description('make, revoke and list virtual keys');
  keys
    .command('create')
    .description('make a key; its secret is shown this once')
    .requiredOption('--loop <loop>', 'the loop that calls with it')
    .option('--agent <agent>', 'the agent that calls with it (default: the calls say which)')
    .addHelpText('after', '\nExample:\n  OPENAI_API_KEY=$(loopscope keys create --loop primes --agent maker)')
    .action((options: { loop: string; agent?: string }) => create(context, options));
  keys
    .command('revoke')
    .description('end a key; gateways refuse it within two seconds')
    .argument('<id>', 'the id that `keys list` shows')
    .addHelpText('after', '\nExample:\n  loopscope keys revoke key_0123456789abcdef')
    .action(async (id: string) => {
      const key = await revokeKey(context.store(), context.clock, id);
      context.show(document(key), () => context.out.line(`revoked ${key.keyId} of loop ${key.loop}`));
    });
  keys
    .command('list')
    .description('list all keys, revoked ones too')
    .addHelpText('after', '\nExample:\n  loopscope keys list --json')
    .action(async () => {
      const all = await listKeys(context.store());
      context.show({ keys: all.map(document) }, () => {
        if (all.length === 0) context.out.note('No keys yet. `loopscope keys create --loop NAME` makes one.');
        else for (const line of table(context.out.paint, COLUMNS, all)) context.out.line(line);
      });
    });
}

async function create(context: CliContext, { loop, agent }: { loop: string; agent?: string }): Promise<void> {
  requireName('--loop', loop);
  if (agent !== undefined) requireName('--agent', agent);
  const { keyId, secret } = await createKey(context.store(), context.clock, { loop, agent });
  const definition = context.registry().loop(loop);
  if (!definition)
    context.out.note(`Note: loop "${loop}" is not in loops/; its calls will be marked unregistered.`);
  else if (agent !== undefined && !definition.agents.some(({ name }) => name === agent))
    context.out.note(`Note: loop "${loop}" has no agent "${agent}" in its file; its role will be unknown.`);
  context.show({ key_id: keyId, loop, agent: agent ?? null, secret }, () => {
    context.out.note(`Key ${keyId}. This is the only time its secret is shown:`);
    context.out.line(secret);
  });
}

const COLUMNS: readonly Column<StoredKey>[] = [
  { header: 'id', cell: (k) => k.keyId },
  { header: 'loop', cell: (k) => k.loop },
  { header: 'agent', cell: (k) => k.agent || 'any' },
  { header: 'made (UTC)', cell: (k) => time(k.createdAt) },
  {
    header: 'state',
    cell: (k) => (k.revoked ? { text: `revoked ${time(k.revokedAt)}`, style: 'red' } : 'in use'),
  },
];

const document = (k: StoredKey) => ({
  key_id: k.keyId,
  loop: k.loop,
  agent: k.agent || null,
  state: k.revoked ? 'revoked' : 'active',
  created_at: iso(k.createdAt),
  revoked_at: k.revokedAt === null ? null : iso(k.revokedAt),
});
