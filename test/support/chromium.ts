import { spawnSync } from 'node:child_process';
import { type Browser, chromium } from 'playwright-core';

/** Why tests in a browser are skipped, where they are; in CI they are not, and fail without it. */
export const chromiumMissing: string | false =
  spawnSync('chromium', ['--version']).status === 0 || process.env['CI'] === 'true'
    ? false
    : 'chromium is not installed (apt-get install chromium)';

/** Debian's Chromium, without a window. Tests run as root in containers, where its sandbox does not work. */
export const startChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: '/usr/bin/chromium', chromiumSandbox: false });
