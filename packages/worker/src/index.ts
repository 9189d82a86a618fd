/** A pool of engines behind one interface, and the same pool at the end of a WebSocket. */
export { type Job, MAX_STEPS, type SharedSplit } from './job.ts';
export { computeOptions, engineOptions } from './options.ts';
export { defaultNumThreads, type PoolOptions, type StepMarks, type StepSums, WorkerPool } from './pool.ts';
export { type JoinContext, join } from './remote/join.ts';
export { type JoinOptions, joinOptions } from './remote/options.ts';
export { readStatus, type StatusOptions } from './remote/read-status.ts';
export type { PartialSum, PreparedEngine, StepPlan, StepPosition } from './tasks.ts';
