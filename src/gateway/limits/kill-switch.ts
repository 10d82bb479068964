import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';
import { KillFile, type Kills } from './kill-file.ts';
import type { RedisLink } from './redis-link.ts';
import { NO_KILLS, PREFIX } from './redis-scripts.ts';

/**
 * Which loops and runs may call no more. Here a kill works at once; on other gateways at their next beat, a quarter
 * of a second later. Redis has the truth where there is one, and gateways that start read it; while it is away this
 * gateway keeps what it knows, and says what was decided meanwhile when Redis is back. Without Redis a file has it,
 * for the gateways of its folder.
 *
 * At most `KILLS_MAX`: one more is refused, because to forget one would be to revive it.
 */
export interface KillTarget {
  loop: string;
  /** Only this run; without it the loop with all of its runs. */
  runId?: string | undefined;
}

/** `here`: Redis is away, and will be told when it is back. */
export type Reach = 'everywhere' | 'here';

const KILLS_MAX = 10_000;
/** A run that was killed longer ago than this does not call any more. A loop stays killed until it is revived. */
const RUN_KEPT_MS = 30 * 86_400_000;
const KILLS = `${PREFIX}kills`;
const VERSION = `${PREFIX}kills_version`;

export class KillSwitch {
  /** `loop` or `loop/run` → when it is forgotten. Loops and runs have no "/" in their names. */
  #kills: Kills = new Map();
  /** What Redis is still to be told: when it is forgotten, `undefined` for what was revived. */
  readonly #untold = new Map<string, number | undefined>();
  #version = NO_KILLS;
  readonly #clock: Clock;
  readonly #link: RedisLink | undefined;
  readonly #file: KillFile | undefined;

  /** Without `shared` what is killed is known to this object alone. */
  constructor(clock: Clock, shared?: RedisLink | KillFile) {
    this.#clock = clock;
    this.#file = shared instanceof KillFile ? shared : undefined;
    this.#link = shared instanceof KillFile ? undefined : shared;
    this.#link?.everyBeat(() => this.#agree());
  }

  /** How many loops and runs are killed. */
  get size(): number {
    return this.#kills.size;
  }

  /** What is killed. */
  list(): KillTarget[] {
    this.#forget(this.#kills);
    return [...this.#kills.keys()].map((key) => {
      const [loop, runId] = key.split('/') as [string, string?];
      return { loop, runId };
    });
  }

  /** Refuses all further calls of a loop or a run. Throws `overloaded` when there are too many kills already. */
  async kill(target: KillTarget): Promise<Reach> {
    const key = keyOf(target);
    const untilMs = target.runId === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + RUN_KEPT_MS;
    const add = (kills: Kills) => {
      if (!kills.has(key) && kills.size >= KILLS_MAX) this.#forget(kills);
      if (!kills.has(key) && kills.size >= KILLS_MAX) throw full();
      kills.set(key, untilMs);
    };
    add(this.#kills);
    if (this.#file) this.#kills = await this.#file.change(add);
    return this.#tell(key, untilMs);
  }

  /** Lets a loop or a run call again. */
  async revive(target: KillTarget): Promise<Reach> {
    const key = keyOf(target);
    this.#kills.delete(key);
    if (this.#file) this.#kills = await this.#file.change((kills) => void kills.delete(key));
    return this.#tell(key, undefined);
  }

  /** Takes over what others decided. */
  adopt(kills: Kills): void {
    this.#kills = kills;
    this.#forget(kills);
  }

  /** Which of the two is killed, if one is. */
  isKilled(loop: string, runId: string | undefined): 'loop' | 'run' | undefined {
    if (this.#kills.size === 0) return undefined;
    if (this.#kills.has(loop)) return 'loop';
    return runId !== undefined && this.#kills.has(`${loop}/${runId}`) ? 'run' : undefined;
  }

  async #tell(key: string, untilMs: number | undefined): Promise<Reach> {
    const link = this.#link;
    if (!link) return 'everywhere';
    if (this.#untold.size >= KILLS_MAX) throw full();
    this.#untold.set(key, untilMs);
    await link.run(() => this.#sayUntold(link));
    return this.#untold.has(key) ? 'here' : 'everywhere';
  }

  async #sayUntold({ redis }: RedisLink): Promise<void> {
    for (const [key, untilMs] of this.#untold) {
      const score = untilMs === undefined ? '' : toScore(untilMs);
      const taken = await redis.limitsKill(KILLS, VERSION, key, score, KILLS_MAX);
      // Where all gateways together have too many, it stays here. And it may have been decided otherwise meanwhile.
      if (taken === 1 && this.#untold.get(key) === untilMs) this.#untold.delete(key);
    }
  }

  /** Says what Redis does not know, and learns what others decided. */
  async #agree(): Promise<void> {
    const link = this.#link!;
    await this.#sayUntold(link);
    const [version, ...kills] = await link.redis.limitsKills(KILLS, VERSION, this.#version);
    if (version === undefined || version === this.#version) return this.#forget(this.#kills);
    // Redis has lost its memory. To forget a kill would be to revive it, so it is told all of them again.
    if (this.#version !== NO_KILLS && epochOf(version) !== epochOf(this.#version)) {
      for (const [key, untilMs] of this.#kills) if (!this.#untold.has(key)) this.#untold.set(key, untilMs);
      this.#version = NO_KILLS;
      return this.#sayUntold(link);
    }
    const agreed = new Map<string, number>();
    for (let i = 0; i < kills.length; i += 2) agreed.set(kills[i]!, fromScore(kills[i + 1]!));
    for (const [key, untilMs] of this.#untold)
      if (untilMs === undefined) agreed.delete(key);
      else agreed.set(key, untilMs);
    this.#version = version;
    this.adopt(agreed);
  }

  #forget(kills: Kills): void {
    const nowMs = this.#clock.now();
    for (const [key, untilMs] of kills) if (untilMs <= nowMs) kills.delete(key);
  }
}

const toScore = (untilMs: number): string => (untilMs === Number.POSITIVE_INFINITY ? 'inf' : String(untilMs));
const fromScore = (score: string): number => (score === 'inf' ? Number.POSITIVE_INFINITY : Number(score));
const epochOf = (version: string): string => version.split('.')[0]!;

const keyOf = ({ loop, runId }: KillTarget): string => (runId === undefined ? loop : `${loop}/${runId}`);

const full = () =>
  new LoopscopeError(
    'overloaded',
    `${KILLS_MAX} runs and loops are killed already, the most there may be. Revive some, or kill the loop instead of its runs.`,
  );
