/** Errors that a person can act on, and the assertion for what must never happen. */

/** Machine-readable reason of a {@link LockstepError}; stable, so that scripts can match on it. */
export type ErrorCode =
  | 'usage'
  | 'dataset-not-found'
  | 'dataset-invalid'
  | 'dataset-unavailable'
  | 'cache-unwritable'
  | 'model-invalid'
  | 'model-unsupported'
  | 'engine-unavailable'
  | 'engine-failed'
  | 'worker-failed'
  | 'worker-timeout'
  | 'workers-missing'
  | 'coordinator-unreachable'
  | 'coordinator-refused'
  | 'address-in-use'
  | 'address-unavailable'
  | 'tls-invalid'
  | 'diverged'
  | 'run-not-found'
  | 'run-invalid'
  | 'checkpoint-failed'
  | 'output-unwritable'
  | 'output-exists'
  | 'image-invalid'
  | 'regression'
  | 'interrupted'
  | 'internal';

/**
 * A failure that the user can do something about. `message` says what happened and where (with the value that was
 * expected and the one that was found, when there is one); `nextStep` says what to do about it.
 */
export class LockstepError extends Error {
  override readonly name = 'LockstepError';
  readonly code: ErrorCode;
  readonly nextStep: string;

  constructor(code: ErrorCode, message: string, nextStep: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.nextStep = nextStep;
  }
}

/** Throws when an invariant of Lockstep itself is broken; never used for what a user or a peer may get wrong. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`Broken invariant: ${what}`);
}
