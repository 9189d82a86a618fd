/** How a connection ends. The code alone tells a worker whether to come back. */

export const closeCodes = {
  /** The run is over; there is nothing left to compute. */
  finished: 4000,
  /** The worker speaks another version of the protocol. */
  version: 4001,
  /** The worker did not arrive at the same job: other parameters, or a job text that does not match its hash. */
  job: 4002,
  /** A message that no honest peer sends. */
  malformed: 4003,
  /** Nothing was heard for too long. */
  silent: 4004,
  /** The peer does not read what it is sent. */
  slowReader: 4005,
  /** The coordinator stops, and may be started again. */
  stopping: 4006,
  /** The worker stops. */
  leaving: 4007,
  /** The worker did not say hello, or was not ready, in time. */
  late: 4008,
  /** The worker's engine computes other gradients than it should. */
  wrong: 4009,
} as const;

export type CloseReason = keyof typeof closeCodes;

const hopeless: ReadonlySet<number> = new Set([
  closeCodes.finished,
  closeCodes.version,
  closeCodes.job,
  closeCodes.malformed,
  closeCodes.wrong,
]);

/** Whether a worker whose connection ended with this code should dial again. */
export const shouldRetry = (code: number): boolean => !hopeless.has(code);
