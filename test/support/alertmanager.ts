import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.ts';

const BINARY = 'prometheus-alertmanager';

/** Why tests with Alertmanager are skipped, where they are; in CI they are not, and fail without it. */
export const alertmanagerMissing: string | false =
  spawnSync(BINARY, ['--version']).status === 0 || process.env['CI'] === 'true'
    ? false
    : `${BINARY} is not installed (apt-get install prometheus-alertmanager)`;

/** An alert as Alertmanager shows it. */
export interface ShownAlert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
  generatorURL?: string;
}

/** What Alertmanager's own webhook says to whoever it notifies. */
export interface Notified {
  status: 'firing' | 'resolved';
  groupLabels: Record<string, string>;
  alerts: (ShownAlert & { status: 'firing' | 'resolved' })[];
}

/**
 * A real Alertmanager on a free loopback port. It groups by the given labels and tells `notifies`, a webhook, within
 * moments of news; what it remembers of its notifications is in a folder of its own.
 */
export class TestAlertmanager {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  #server: ChildProcess;

  private constructor(port: number, folder: string) {
    this.#port = port;
    this.#folder = folder;
    this.url = `http://127.0.0.1:${port}`;
    this.#server = this.#spawn();
  }

  static async start(notifies: string, groupBy: readonly string[]): Promise<TestAlertmanager> {
    const folder = await mkdtemp(join(tmpdir(), 'loopscope-alertmanager-'));
    const settings = {
      global: { resolve_timeout: '1m' },
      route: {
        receiver: 'hook',
        group_by: groupBy,
        group_wait: '300ms',
        group_interval: '500ms',
        repeat_interval: '24h',
      },
      receivers: [{ name: 'hook', webhook_configs: [{ url: notifies, send_resolved: true }] }],
    };
    await writeFile(join(folder, 'alertmanager.yml'), JSON.stringify(settings));
    const alertmanager = new TestAlertmanager(await freePort(), folder);
    await alertmanager.#answers();
    return alertmanager;
  }

  /** What it holds, be it told or not. */
  async alerts(): Promise<ShownAlert[]> {
    const answer = await fetch(`${this.url}/api/v2/alerts`);
    return (await answer.json()) as ShownAlert[];
  }

  /** Ends it as a crash would: it forgets its alerts, and notifications since its last snapshot. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Ends it as an upgrade would: it forgets its alerts, and remembers whom it notified. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Starts it again, on the same port and folder. */
  async restart(): Promise<void> {
    this.#server = this.#spawn();
    await this.#answers();
  }

  get isRunning(): boolean {
    return this.#server.exitCode === null && this.#server.signalCode === null;
  }

  async close(): Promise<void> {
    if (this.isRunning) await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const ended = once(this.#server, 'exit');
    this.#server.kill(signal);
    await ended;
  }

  #spawn(): ChildProcess {
    const args = {
      'config.file': join(this.#folder, 'alertmanager.yml'),
      'storage.path': join(this.#folder, 'data'),
      'web.listen-address': `127.0.0.1:${this.#port}`,
      'cluster.listen-address': '',
    };
    return spawn(
      BINARY,
      Object.entries(args).map(([name, value]) => `--${name}=${value}`),
      { stdio: 'ignore' },
    );
  }

  #answers(): Promise<unknown> {
    return until('Alertmanager to answer', async () => (await fetch(`${this.url}/-/ready`)).ok);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
