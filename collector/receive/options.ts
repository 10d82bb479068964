import type { Logger } from 'pino';
import type { OtlpEncoding, Signal } from '../../src/span/batch.ts';
import type { Answer } from './answer.ts';
import type { Intake } from './intake.ts';
import type { Certificate } from './tls.ts';

export interface ExportRequest {
  signal: Signal;
  body: Buffer;
  encoding: OtlpEncoding;
  /**
   * The sender may send these spans again, in other requests, at any later time (an import): those that are stored are
   * left out. Asked for by the header `x-loopscope-repeatable: true`.
   */
  repeatable: boolean;
}

export interface Readiness {
  ready: boolean;
  reasons: string[];
}

/** What a receiver is given, of whatever protocol. */
export interface ReceiveOptions {
  host: string;
  port: number;
  /** What senders must show as `authorization: Bearer …`; nothing where this is not given. */
  token?: string | undefined;
  /** Plain text without it. */
  certificate?: Certificate | undefined;
  log: Logger;
  /** Uniform in [0, 1). */
  random: () => number;
  /** The stages behind this one. Expected failures are answers; what it throws is a bug. */
  accept: (request: ExportRequest) => Promise<Answer>;
  /** Whether to send anything here now, and what is wrong, which may be the one without the other. */
  readiness: () => Promise<Readiness>;
  metrics: () => string;
  /** Told of every answer, and of 408 for a body that was cut off. */
  onAnswer: (status: number) => void;
  bodyBytesMax?: number | undefined;
  /** One for every receiver together. */
  intake: Intake;
}
