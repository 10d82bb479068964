/** What a benchmark is: what it is called, what it takes, and what it gives. */

/** Numbers under names; `null` where one could not be measured, which is not 0. */
export interface Figures {
  [name: string]: number | null | Figures;
}

/** What the numbers stand on: said in words or numbers, printed with them. */
export type Conditions = Record<string, string | number | boolean | null>;

/** What a benchmark found. Ratios are ours over the reference that was measured in the same run. */
export interface Measured {
  conditions: Conditions;
  figures: Figures;
  ratios: Figures;
}

export interface BenchOptions {
  /** Rounds that each measure everything once, in turn; figures are medians over them. */
  rounds: number;
  /** Length of one measurement within a round. */
  seconds: number;
  /** The benchmark's own flags, by name. */
  flags: Readonly<Record<string, number>>;
  lists: Readonly<Record<string, readonly number[]>>;
  /** Says on stderr how far it is. */
  progress(text: string): void;
}

/** A flag of one benchmark: a positive whole number. */
export interface Flag {
  help: string;
  default: number;
}

/** A flag that takes several positive numbers, with commas between them. */
export interface ListFlag {
  help: string;
  default: readonly number[];
}

export interface Bench {
  name: string;
  /** One line. */
  summary: string;
  flags: Readonly<Record<string, Flag>>;
  lists?: Readonly<Record<string, ListFlag>>;
  /** Length of one measurement unless told otherwise. */
  seconds: number;
  run(options: BenchOptions): Promise<Measured>;
}
