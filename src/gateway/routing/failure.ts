import { LoopscopeError } from '../../errors.ts';
import type { ConnectionError, Fault } from '../connections/exchange.ts';
import type { Target } from './target.ts';

/** What can go wrong with one attempt. */
export type FailureReason =
  | Exclude<Fault, 'lost'>
  | 'connect_timeout'
  /** The connection broke before an answer began. */
  | 'connection_lost'
  | 'first_token_timeout'
  /** The status promised a stream, and the first event of it is an error. */
  | 'stream_error'
  /** The connection broke in the answer, or the answer is not as long as it said. */
  | 'cut'
  | 'between_tokens_timeout'
  | 'too_slow'
  | 'total_timeout'
  /** A status of the provider. */
  | `http_${number}`;

/** Why a call failed, as its listener is told. */
export class ProviderFailure extends Error {
  override readonly name = 'ProviderFailure';
  readonly reason: FailureReason;
  readonly target: Target;
  readonly attempts: number;

  constructor(reason: FailureReason, target: Target, attempts: number, cause: Error | undefined) {
    super(`${target.name}: ${reason}${cause ? ` (${errorCode(cause)})` : ''}`, { cause });
    this.reason = reason;
    this.target = target;
    this.attempts = attempts;
  }
}

/** The stable part of an error, which names no address and no content. */
export const errorCode = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : error.name;

/** What broke: a connection that is lost before an answer began may not have cost anything. */
export const failureReason = (
  { fault }: ConnectionError,
  phase: 'connecting' | 'waiting' | 'answering',
): FailureReason => (fault !== 'lost' ? fault : phase === 'answering' ? 'cut' : 'connection_lost');

/** What no other attempt can better, and no target is to blame for. */
export const isOurOwn = (reason: FailureReason | undefined): boolean =>
  reason === 'unsendable' || reason === 'closing';

const TIMEOUTS: ReadonlySet<FailureReason> = new Set([
  'connect_timeout',
  'first_token_timeout',
  'between_tokens_timeout',
  'too_slow',
  'total_timeout',
] as const);

/** The failure in words for a caller who has got nothing of an answer yet: `provider_timeout` or `provider_unreachable`. */
export function toRefusal({ reason, target, attempts, cause }: ProviderFailure): LoopscopeError {
  const { name, provider, endpoint } = target;
  const tries = attempts > 1 ? ` after ${attempts} attempts, the last one` : '';
  if (TIMEOUTS.has(reason))
    return new LoopscopeError(
      'provider_timeout',
      `${name} (${endpoint.origin}) was silent for too long${tries}: ${reason}. ` +
        'How long is in `routing.timeouts`, or in the `timeouts` of the model.',
    );
  return new LoopscopeError(
    'provider_unreachable',
    `${name} (${endpoint.origin}) did not answer${tries}: ${cause instanceof Error ? errorCode(cause) : reason}. ` +
      `Check \`providers.${provider}.base_url\`, or run \`loopscope doctor\` on the gateway's machine.`,
  );
}
