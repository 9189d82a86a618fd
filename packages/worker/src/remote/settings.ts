/** What only tests change: deadlines, pauses, and how a pool is made. */
import { type PoolOptions, WorkerPool } from '../pool.ts';

export interface JoinSettings {
  /** From the first packet to the open WebSocket, TLS included. */
  readonly dialMs: number;
  /** From the open WebSocket to the welcome. */
  readonly welcomeMs: number;
  /** From a request for a part of a partition to the part. */
  readonly partMs: number;
  /** How long the coordinator may take to close its side. */
  readonly closeMs: number;
  /** Before the second attempt to dial at most the first of these, doubling up to the other. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  readonly createPool: (options: PoolOptions) => WorkerPool;
}

export const SETTINGS: JoinSettings = {
  dialMs: 10_000,
  welcomeMs: 10_000,
  partMs: 30_000,
  closeMs: 3_000,
  firstPauseMs: 250,
  longestPauseMs: 15_000,
  createPool: (options) => new WorkerPool(options),
};
