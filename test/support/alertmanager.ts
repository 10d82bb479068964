import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../src/store/server-host.ts';
import { DebianServer, missing } from './debian.ts';
import { until } from './until.ts';

const BINARY = 'prometheus-alertmanager';

export const alertmanagerMissing = missing(BINARY);

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
 * A real Alertmanager. It groups by the given labels and tells `notifies`, a webhook, within moments of news. Killed it
 * forgets its alerts, and notifications since its last snapshot; stopped it remembers whom it notified.
 */
export class TestAlertmanager extends DebianServer {
  readonly url = `http://127.0.0.1:${this.port}`;

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
    const [port] = await freePorts(1);
    const alertmanager = new TestAlertmanager(port!, folder);
    await alertmanager.restart();
    return alertmanager;
  }

  /** What it holds, be it told or not. */
  async alerts(): Promise<ShownAlert[]> {
    const answer = await fetch(`${this.url}/api/v2/alerts`);
    return (await answer.json()) as ShownAlert[];
  }

  protected override spawn(): ChildProcess {
    const args = {
      'config.file': join(this.folder, 'alertmanager.yml'),
      'storage.path': join(this.folder, 'data'),
      'web.listen-address': `127.0.0.1:${this.port}`,
      'cluster.listen-address': '',
    };
    return spawn(
      BINARY,
      Object.entries(args).map(([name, value]) => `--${name}=${value}`),
      { stdio: 'ignore' },
    );
  }

  protected override answers(): Promise<unknown> {
    return until('Alertmanager to answer', async () => (await fetch(`${this.url}/-/ready`)).ok);
  }
}
