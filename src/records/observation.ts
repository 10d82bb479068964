/** A run as the detector sees it, in the loop's order of time. `score` is null where the run was not scored. */
export interface Observation {
  /** Runs of the loop before this one. */
  index: number;
  runId: string;
  /** ISO 8601. */
  at: string;
  /** Golden score in [0,1]. */
  score: number | null;
  checkerPass: boolean | null;
  /** Versions; '' where unknown. */
  servedModel: string;
  promptVersion: string;
  toolsVersion: string;
  checkerVersion: string;
}
