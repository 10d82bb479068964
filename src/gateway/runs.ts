import type { Clock } from '../clock.ts';
import type { AgentRole } from '../registry/loop.ts';
import { A } from '../span/attributes.ts';
import { agentSpanId, runSpanId, runTraceId } from '../span/ids.ts';
import { LIMITS } from '../span/limits.ts';
import { Attributes, type SpanDraft } from './record/span-draft.ts';

/**
 * The runs that are open on this gateway, kept only to say at their end how long the run and its agents took:
 * span ids follow from names, so calls never wait for this.
 *
 * - At most `LIMITS.openRunsMax`; one more closes the run that was idle longest. `#open` is in order of last use, give or
 *   take a sweep.
 * - A run with a call under way is never idle.
 * - Each run ends once; ended ones are remembered for a while, so that a late call or a repeated `end` finds the
 *   same trace and the same beginning.
 */
export interface RunName {
  loop: string;
  runId: string;
  registered: boolean;
  /** The trace that the caller brought. */
  traceId?: string;
}

export interface AgentName {
  name: string;
  parent: string | undefined;
  role: AgentRole;
  parentRole: AgentRole | undefined;
}

interface AgentWindow {
  name: string;
  parent: string | undefined;
  role: AgentRole;
  startNs: bigint;
  endNs: bigint;
}

export interface OpenRun {
  readonly key: string;
  readonly loop: string;
  readonly runId: string;
  readonly traceId: string;
  readonly registered: boolean;
  readonly agents: Map<string, AgentWindow>;
  /** Span ids of agents, by their place: a hash each, and a call needs one. */
  readonly agentIds: Map<string, string>;
  /** The tool lists that a span of the run has in full, by their hashes. */
  readonly toolsTold: Set<string>;
  /** Span ids of the effects on record. */
  readonly effects: Set<string>;
  /** Each checker's last verdict, and how many other ones it gave before. */
  readonly verdicts: Map<string, { said: string; nth: number }>;
  startNs: bigint;
  endNs: bigint;
  lastUsedMs: number;
  /** When it got its place in the order. */
  placedMs: number;
  callsUnderWay: number;
}

export type Outcome = 'ok' | 'error';

/** Ended runs that are remembered. */
const ENDED_MAX = 10_000;
/** Agents whose time is kept; a run that names more is not delegating but misusing a header. */
const AGENTS_PER_RUN_MAX = 1_000;
const SWEEPS_PER_IDLE_TIME = 8;

export class Runs {
  readonly #open = new Map<string, OpenRun>();
  readonly #ended = new Map<string, { run: OpenRun; outcome: Outcome | undefined }>();
  /** The run of a loop whose calls name none. */
  readonly #implicit = new Map<string, string>();
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #sweepMs: number;
  readonly #emit: (spans: readonly SpanDraft[]) => void;
  readonly #closing = new AbortController();

  constructor(options: { clock: Clock; idleMs: number; emit: (spans: readonly SpanDraft[]) => void }) {
    this.#clock = options.clock;
    this.#idleMs = options.idleMs;
    this.#sweepMs = Math.max(10, this.#idleMs / SWEEPS_PER_IDLE_TIME);
    this.#emit = options.emit;
    void this.#sweepOften();
  }

  get size(): number {
    return this.#open.size;
  }

  /** The run that a loop's calls belong to while they name none; a new one after a quiet time. */
  implicitRun(loop: string): string {
    let runId = this.#implicit.get(loop);
    if (runId === undefined) {
      const at = new Date(this.#clock.now()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
      runId = `auto-${at}-${this.#clock.randomHex(4)}`;
      this.#implicit.set(loop, runId);
    }
    return runId;
  }

  /** As `implicitRun`, where one is open. */
  openImplicitRun(loop: string): string | undefined {
    return this.#implicit.get(loop);
  }

  /** Opens the run, or finds it open, and counts a moment of activity at `atNs`. */
  touch(name: RunName, atNs: bigint): OpenRun {
    return this.#touch(runKey(name.loop, name.runId), name, atNs);
  }

  #touch(key: string, { loop, runId, registered, traceId }: RunName, atNs: bigint): OpenRun {
    const nowMs = this.#clock.now();
    let run = this.#open.get(key);
    if (run) {
      widen(run, atNs, atNs);
      if (nowMs - run.placedMs < this.#sweepMs) {
        run.lastUsedMs = nowMs;
        return run;
      }
      this.#open.delete(key);
    } else {
      run = this.#ended.get(key)?.run ?? {
        key,
        loop,
        runId,
        registered,
        traceId: traceId ?? runTraceId(loop, runId),
        agents: new Map(),
        agentIds: new Map(),
        toolsTold: new Set(),
        effects: new Set(),
        verdicts: new Map(),
        startNs: atNs,
        endNs: atNs,
        lastUsedMs: 0,
        placedMs: 0,
        callsUnderWay: 0,
      };
      if (this.#open.size >= LIMITS.openRunsMax) this.#closeIdlest();
    }
    run.lastUsedMs = nowMs;
    run.placedMs = nowMs;
    widen(run, atNs, atNs);
    this.#open.set(key, run);
    return run;
  }

  /** An agent of the run begins a call. */
  callStarted(run: OpenRun): void {
    run.callsUnderWay++;
  }

  /** The call is over: the run, the agent and its parent lasted at least that long. */
  callEnded(run: OpenRun, agent: AgentName, startNs: bigint, endNs: bigint): void {
    run.callsUnderWay--;
    const open = this.#touch(run.key, run, endNs);
    widen(open, startNs, endNs);
    const { name, parent, role, parentRole } = agent;
    if (parent !== undefined && parentRole !== undefined)
      agentWindow(open, { name: parent, parent: undefined, role: parentRole, startNs, endNs });
    agentWindow(open, { name, parent, role, startNs, endNs });
  }

  /** Ends a run that the caller says is over; one that ended the same way before stays as it was. */
  end(name: RunName, outcome: Outcome | undefined, atNs: bigint): OpenRun {
    const key = runKey(name.loop, name.runId);
    const ended = this.#ended.get(key);
    if (ended && !this.#open.has(key) && (outcome === undefined || outcome === ended.outcome))
      return ended.run;
    const run = this.touch(name, ended && !this.#open.has(key) ? ended.run.endNs : atNs);
    this.#close(key, run, outcome);
    return run;
  }

  /** Ends what was quiet for the idle time. */
  sweep(): void {
    const before = this.#clock.now() - this.#idleMs;
    for (const [key, run] of this.#open) {
      if (run.placedMs > before) return;
      if (run.lastUsedMs > before) continue;
      if (run.callsUnderWay === 0) this.#close(key, run, undefined);
    }
  }

  /** Ends all that is open. */
  close(): void {
    this.#closing.abort();
    for (const [key, run] of this.#open) this.#close(key, run, undefined);
  }

  async #sweepOften(): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(this.#sweepMs, this.#closing.signal);
        this.sweep();
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) throw error;
    }
  }

  #closeIdlest(): void {
    for (const [key, run] of this.#open) {
      if (run.callsUnderWay > 0) continue;
      this.#close(key, run, undefined);
      return;
    }
  }

  #close(key: string, run: OpenRun, told: Outcome | undefined): void {
    // A call that outlasted its run opens it again; what the loop said of the run stays said.
    const outcome = told ?? this.#ended.get(key)?.outcome;
    this.#open.delete(key);
    if (this.#implicit.get(run.loop) === run.runId) this.#implicit.delete(run.loop);
    this.#ended.delete(key);
    this.#ended.set(key, { run, outcome });
    if (this.#ended.size > ENDED_MAX) this.#ended.delete(this.#ended.keys().next().value!);

    const { traceId } = run;
    const common = runAttributes(run);
    const agents = [...run.agents.values()].map(
      ({ name, parent, role, startNs, endNs }): SpanDraft => ({
        traceId,
        spanId: agentOf(run, name, parent),
        parentSpanId: parent === undefined ? runSpanId(traceId) : agentOf(run, parent, undefined),
        name: `invoke_agent ${name}`,
        kind: 'Internal',
        startNs,
        endNs,
        attributes: Attributes.of({
          ...common,
          [A.record]: 'agent',
          [A.operation]: 'invoke_agent',
          [A.agentName]: name,
          [A.agentRole]: role,
          [A.parentAgent]: parent,
        }),
      }),
    );
    this.#emit([
      ...agents,
      {
        traceId,
        spanId: runSpanId(traceId),
        parentSpanId: undefined,
        name: `invoke_workflow ${run.loop}`,
        kind: 'Internal',
        startNs: run.startNs,
        endNs: run.endNs,
        attributes: Attributes.of({
          ...common,
          [A.record]: 'run',
          [A.operation]: 'invoke_workflow',
          [A.outcome]: outcome,
        }),
        error: outcome === 'error' ? 'the loop says that the run failed' : undefined,
      },
    ]);
  }
}

/** What every span of a run carries. */
export const runAttributes = (run: Pick<OpenRun, 'loop' | 'runId' | 'registered'>) => ({
  [A.loop]: run.loop,
  [A.runId]: run.runId,
  [A.registered]: run.registered,
});

/** Whether an agent of the run has called as somebody's sub-agent. */
export function isSubAgent(run: OpenRun, agent: string): boolean {
  for (const { name, parent } of run.agents.values()) if (name === agent && parent !== undefined) return true;
  return false;
}

/** The span id of an agent of the run. Its place in it is one or two names long: delegation is one level deep. */
export function agentOf(run: OpenRun, agent: string, parent: string | undefined): string {
  const place = parent === undefined ? agent : `${parent}/${agent}`;
  let spanId = run.agentIds.get(place);
  if (spanId === undefined) {
    spanId = agentSpanId(run.traceId, parent === undefined ? [agent] : [parent, agent]);
    if (run.agentIds.size < AGENTS_PER_RUN_MAX) run.agentIds.set(place, spanId);
  }
  return spanId;
}

/** Loops and runs have no "/" in their names. */
const runKey = (loop: string, runId: string) => `${loop}/${runId}`;

function widen(window: { startNs: bigint; endNs: bigint }, startNs: bigint, endNs: bigint): void {
  if (startNs < window.startNs) window.startNs = startNs;
  if (endNs > window.endNs) window.endNs = endNs;
}

function agentWindow(run: OpenRun, window: AgentWindow): void {
  const key = window.parent === undefined ? window.name : `${window.parent}/${window.name}`;
  const known = run.agents.get(key);
  if (known) widen(known, window.startNs, window.endNs);
  else if (run.agents.size < AGENTS_PER_RUN_MAX) run.agents.set(key, window);
}
