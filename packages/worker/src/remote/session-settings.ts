/** Deadlines and pauses of a worker wherever it runs; only tests change them. */

export interface SessionSettings {
  /** From the beginning of a dial to the open WebSocket. */
  readonly dialMs: number;
  /** From the open WebSocket to the welcome. */
  readonly welcomeMs: number;
  /** From a request for a part of a partition to the part. */
  readonly partMs: number;
  /** From a result in the format `topk` to what the coordinator says of it. */
  readonly outcomeMs: number;
  /** How long the coordinator may take to close its side. */
  readonly closeMs: number;
  /** Before the second attempt to dial at most the first of these, doubling up to the other. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

export const SESSION_SETTINGS: SessionSettings = {
  dialMs: 10_000,
  welcomeMs: 10_000,
  partMs: 30_000,
  outcomeMs: 30_000,
  closeMs: 3_000,
  firstPauseMs: 250,
  longestPauseMs: 15_000,
};
