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
  /** Changes it made in the world. */
  effects: number;
  /** Hashes of the maker's first input and last output; '' where unknown. */
  inputHash: string;
  outputHash: string;
  /** Versions; '' where unknown. */
  servedModel: string;
  promptVersion: string;
  toolsVersion: string;
  checkerVersion: string;
  /** Of the golden data it was scored with; '' where unknown. */
  datasetVersion: string;
  /** What kind of task it had; '' where nothing says. */
  task: string;
}
