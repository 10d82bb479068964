import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pinned, stop } from '../harness/child.ts';

/** Portkey's gateway, the widely used one in the same language: installed from npm for one run, then removed. */
export interface Portkey {
  url: string;
  version: string;
  stop(): Promise<void>;
}

const PACKAGE = '@portkey-ai/gateway';
const INSTALL_MS_MAX = 120_000;
const READY_MS_MAX = 20_000;

/** Installs and starts it on `core`. Throws what kept it from that; nothing is left behind then. */
export async function startPortkey(core: number): Promise<Portkey> {
  const folder = await mkdtemp(join(tmpdir(), 'loopscope-bench-portkey-'));
  const clean = () => rm(folder, { recursive: true, force: true });
  try {
    await install(folder);
    const root = join(folder, 'node_modules', PACKAGE);
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const port = await freePort();
    const command = pinned(core, [
      process.execPath,
      '--import',
      join(import.meta.dirname, 'guest.ts'),
      join(root, 'build/start-server.js'),
      `--port=${port}`,
      '--headless',
    ]);
    const child = spawn(command[0]!, command.slice(1), {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const url = `http://127.0.0.1:${port}`;
    try {
      await answers(url);
    } catch (error) {
      await stop(child);
      throw error;
    }
    return {
      url,
      version,
      stop: async () => {
        await stop(child);
        await clean();
      },
    };
  } catch (error) {
    await clean();
    throw error;
  }
}

async function install(folder: string): Promise<void> {
  const flags = ['--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', '--no-save'];
  const npm = spawn('npm', ['install', ...flags, PACKAGE], { cwd: folder, stdio: 'ignore' });
  const deadline = setTimeout(() => npm.kill('SIGKILL'), INSTALL_MS_MAX);
  const [code] = await once(npm, 'exit').finally(() => clearTimeout(deadline));
  if (code !== 0) throw new Error(`npm install ${PACKAGE} ended with ${code}`);
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + READY_MS_MAX;
  while (Date.now() < deadline) {
    try {
      await fetch(url);
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`${PACKAGE} did not answer within ${READY_MS_MAX / 1000} s`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
