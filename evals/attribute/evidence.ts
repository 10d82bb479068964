import type { Observation } from '../../src/records/observation.ts';
import { judgeMoved, moversFell } from '../stats/count-evidence.ts';
import type { FleetEvidence, Kind } from './cause.ts';
import { byScore, byVerdict, type Comparison, judgedTwice } from './pairs.ts';
import type { Point } from './series.ts';
import { VERSIONS, type VersionChange, type Versioned } from './versions.ts';

/** What speaks for a version change or against it besides the series that fell, as Bayes factors. */

export interface Besides {
  /** The runs that have a value in the series. */
  valued: readonly Observation[];
  /** Of the mean before, the share that was lost. */
  share: number;
  fleet: readonly FleetEvidence[];
}

/** In nats; 0 where nothing is known. */
export function evidenceFor(
  kind: Kind,
  { dimension, from, to }: VersionChange & { dimension: Versioned },
  { valued, share, fleet }: Besides,
): number {
  if (dimension === 'model') {
    const seen = fleet.find((f) => f.from === from && f.to === to);
    return seen ? moversFell(seen.moved, seen.moved_fell, seen.stayed, seen.stayed_fell) : 0;
  }
  const compare = comparisonOf(kind, dimension);
  if (!compare) return 0;
  const versionOf = VERSIONS[dimension];
  const { across, within } = judgedTwice(
    valued.filter((r) => versionOf(r) === from),
    valued.filter((r) => versionOf(r) === to),
    compare,
  );
  return judgeMoved(across, within, share);
}

/** By what the same answers, judged before and after, tell that this is the cause; if they can. */
export function comparisonOf(kind: Kind, dimension: Versioned): Comparison | undefined {
  const isScored = kind === 'golden_drop' || kind === 'golden_rise' || kind === 'checker_drift';
  if (dimension === 'dataset' && isScored) return byScore(kind);
  return dimension === 'checker' && kind === 'checker_drift' ? byVerdict : undefined;
}

/** Bounds of the share below: never quite none or all: it is an estimate. */
const SHARE_MIN = 0.02;

/** Of the mean before a cut, the share that is lost after it. */
export function fallenShare(points: readonly Point[], cut: number): number {
  const mean = (part: readonly Point[]) => part.reduce((sum, p) => sum + p.value, 0) / part.length;
  if (cut === 0 || cut >= points.length) return SHARE_MIN;
  const before = mean(points.slice(0, cut));
  const lost = before === 0 ? 0 : 1 - mean(points.slice(cut)) / before;
  return Math.min(1 - SHARE_MIN, Math.max(SHARE_MIN, lost));
}
