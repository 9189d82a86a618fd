/** What only tests change: deadlines, pauses, and how a pool is made. */
import { type PoolOptions, WorkerPool } from '../pool.ts';
import { SESSION_SETTINGS, type SessionSettings } from './session-settings.ts';

export interface JoinSettings extends SessionSettings {
  readonly createPool: (options: PoolOptions) => WorkerPool;
}

export const SETTINGS: JoinSettings = { ...SESSION_SETTINGS, createPool: (options) => new WorkerPool(options) };
