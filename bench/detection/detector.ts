/** One stream's detector: takes the next score, gives `true` at an alarm. */
export type Watcher = (score: number) => boolean;

/** Starts a watcher for a new stream. `random` is for detectors that toss a coin at their threshold. */
export type Detector = (random: () => number) => Watcher;
