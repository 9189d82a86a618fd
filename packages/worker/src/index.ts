/** A pool of engines behind one interface. */
export { type Job, MAX_STEPS, type SharedSplit } from './job.ts';
export { defaultNumThreads, type PoolOptions, type StepSums, WorkerPool } from './pool.ts';
export type { PartialSum, PreparedEngine, StepPlan, StepPosition } from './tasks.ts';
