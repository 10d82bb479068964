/**
 * Every way Loopscope refuses something, in one table: a stable code, the HTTP status where one applies,
 * and whether trying again can help. The message is written where the facts are: it says what was expected,
 * what came and what to do.
 */
export const ERRORS = {
  usage: { status: 400, retryable: false },
  config_invalid: { status: 500, retryable: false },
  bad_input: { status: 400, retryable: false },
  not_found: { status: 404, retryable: false },
  key_invalid: { status: 401, retryable: false },
  key_not_for_loop: { status: 403, retryable: false },
  token_invalid: { status: 401, retryable: false },
  loopback_only: { status: 403, retryable: false },
  loop_unregistered: { status: 403, retryable: false },
  agent_nested: { status: 403, retryable: false },
  unsupported_media_type: { status: 415, retryable: false },
  body_too_large: { status: 413, retryable: false },
  idempotency_mismatch: { status: 422, retryable: false },
  idempotency_in_flight: { status: 409, retryable: true },
  budget_exceeded: { status: 429, retryable: false },
  rate_limited: { status: 429, retryable: true },
  loop_killed: { status: 403, retryable: false },
  limits_unavailable: { status: 503, retryable: true },
  overloaded: { status: 503, retryable: true },
  provider_unknown: { status: 404, retryable: false },
  provider_key_missing: { status: 500, retryable: false },
  model_not_served: { status: 404, retryable: false },
  provider_unreachable: { status: 502, retryable: true },
  provider_timeout: { status: 504, retryable: true },
  worker_died: { status: 500, retryable: true },
  store_unavailable: { status: 503, retryable: true },
  queue_unavailable: { status: 503, retryable: true },
  cost_unknown: { status: 500, retryable: false },
  store_rejected: { status: 500, retryable: false },
  schema_newer: { status: 500, retryable: false },
  schema_changed: { status: 500, retryable: false },
  backup_exists: { status: 409, retryable: false },
  backup_failed: { status: 500, retryable: true },
  database_not_empty: { status: 409, retryable: false },
  port_in_use: { status: 500, retryable: true },
  data_dir_in_use: { status: 500, retryable: true },
  disk_full: { status: 507, retryable: true },
  recording_incomplete: { status: 422, retryable: false },
  replay_refused: { status: 403, retryable: false },
  replay_diverged: { status: 422, retryable: false },
  tool_withheld: { status: 403, retryable: false },
  platform_unsupported: { status: 500, retryable: false },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** An expected refusal. Anything else that is thrown is a bug. */
export class LoopscopeError extends Error {
  override readonly name = 'LoopscopeError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** HTTP status to answer with. */
  get status(): number {
    return ERRORS[this.code].status;
  }

  /** Whether the same request can succeed later. */
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** Exit code of a command that fails with it: 2 for wrong usage or configuration, else 1. */
  get exitCode(): 1 | 2 {
    return this.code === 'usage' || this.code === 'config_invalid' ? 2 : 1;
  }
}
