import { type Browser, chromium } from 'playwright-core';
import { missing } from './debian.ts';

export const chromiumMissing = missing('chromium');

/** Debian's Chromium, without a window. Tests run as root in containers, where its sandbox does not work. */
export const startChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: '/usr/bin/chromium', chromiumSandbox: false });
