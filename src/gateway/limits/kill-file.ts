import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';

/**
 * What is killed, without Redis: a small file in the gateway's folder, so that a kill outlives the gateway and reaches
 * every gateway of that folder. Commands and gateways write it, gateways look a few times a second whether it changed.
 *
 * - It is replaced whole, by a rename: nobody ever reads half of it, and what was acknowledged is on disk.
 * - A change is made to what the file says then, under a lock: of two at once neither is lost, for a lost kill would be
 *   a loop that goes on.
 * - No file means that nothing is killed. One that cannot be understood never does.
 */
export class KillFile {
  readonly #folder: string;
  readonly #path: string;
  readonly #lockPath: string;
  readonly #clock: Clock;

  /** `folder`: `<data_dir>/gateway`. */
  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#path = join(folder, 'kills.json');
    this.#lockPath = `${this.#path}.lock`;
    this.#clock = clock;
  }

  /** What is killed, by its key (kill-switch.ts). Throws `config_invalid` where the file is none of ours. */
  async read(): Promise<Kills> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
      throw this.#unreadable((error as Error).message);
    }
    try {
      return parse(text);
    } catch (error) {
      throw this.#unreadable(error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message);
    }
  }

  /** Makes a change to what the file says by then, and gives what it says now. */
  async change(make: (kills: Kills) => void): Promise<Kills> {
    await mkdir(this.#folder, { recursive: true });
    await this.#lock();
    try {
      const kills = await this.read();
      make(kills);
      await this.#write(kills);
      return kills;
    } finally {
      await rm(this.#lockPath, { force: true });
    }
  }

  /** Another one after every change. */
  async version(): Promise<string> {
    try {
      const { ino, mtimeNs, size } = await stat(this.#path, { bigint: true });
      return `${ino}.${mtimeNs}.${size}`;
    } catch {
      return 'none';
    }
  }

  async #write(kills: Kills): Promise<void> {
    const draftPath = `${this.#path}.${this.#clock.randomHex(8)}`;
    try {
      const draft = await open(draftPath, 'w', 0o600);
      try {
        await draft.writeFile(format(kills));
        await draft.sync();
      } finally {
        await draft.close();
      }
      await rename(draftPath, this.#path);
    } catch (error) {
      await rm(draftPath, { force: true });
      throw error;
    }
    const folder = await open(this.#folder, 'r');
    await folder.sync().finally(() => folder.close());
  }

  async #lock(): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += LOCK_POLL_MS) {
      try {
        await (await open(this.#lockPath, 'wx')).close();
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      // Nobody needs that long: whoever took it has died.
      if (waitedMs >= LOCK_MS_MAX) {
        await rm(this.#lockPath, { force: true });
        waitedMs = 0;
      }
      await this.#clock.sleep(LOCK_POLL_MS);
    }
  }

  #unreadable(why: string): LoopscopeError {
    return new LoopscopeError(
      'config_invalid',
      `${this.#path}: expected the loops and runs that are killed, as \`loopscope kill\` writes them; ${why}. ` +
        'Mend it, or remove it and kill again what is to stay killed.',
    );
  }
}

/** `loop` or `loop/run` → when it is forgotten, in ms; infinity for never. */
export type Kills = Map<string, number>;

const LOCK_POLL_MS = 10;
const LOCK_MS_MAX = 3_000;
/** As many as there may be kills; more is not our file. */
const ENTRIES_MAX = 10_000;

const Written = z.strictObject({
  kills: z
    .array(
      z.strictObject({
        loop: z.string().min(1).max(200),
        run: z.string().min(1).max(200).optional(),
        until: z.iso.datetime().optional(),
      }),
    )
    .max(ENTRIES_MAX),
});

function parse(text: string): Kills {
  const { kills } = Written.parse(JSON.parse(text));
  return new Map(
    kills.map(({ loop, run, until }) => [
      run === undefined ? loop : `${loop}/${run}`,
      until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until),
    ]),
  );
}

function format(kills: Kills): string {
  const written: z.infer<typeof Written>['kills'] = [...kills].map(([key, untilMs]) => {
    const [loop, run] = key.split('/') as [string, string?];
    const until = Number.isFinite(untilMs) ? new Date(untilMs).toISOString() : undefined;
    return { loop, run, until };
  });
  return `${JSON.stringify({ kills: written }, undefined, 1)}\n`;
}
