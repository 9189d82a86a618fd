/** A pool of engines behind one interface. */
export type { Job, SharedSplit } from './job.ts';
export { defaultNumThreads, type PoolOptions, type StepPosition, type StepSums, WorkerPool } from './pool.ts';
export type { PartialSum, PreparedEngine } from './tasks.ts';
