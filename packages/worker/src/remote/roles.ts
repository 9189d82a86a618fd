/**
 * What a session needs of the pool that computes for it and of the store that keeps its data. They are threads and a disk
 * in Node.js, Web Workers and a cache in a browser.
 */
import type { Range, WireFormat } from '@lockstep/core';
import type { PartialSum, StepPosition } from '../tasks.ts';
import type { RemoteJob } from './job.ts';

/** Computes gradients from parameters and partitions that come from outside. */
export interface GradientPool {
  /** Engines that compute side by side. */
  readonly numThreads: number;
  /** Takes the samples of a shard. @param partition its pictures, then its labels */
  fill(shard: number, partition: Uint8Array): void;
  /** Takes a slice of the parameters before step `runStep`. @param bytes float32 @param from its first element */
  load(runStep: number, bytes: Uint8Array, from: number): void;
  /** Computes a slice of the parameters before step `runStep` from those before the step before it. */
  change(runStep: number, bytes: Uint8Array, wire: WireFormat, slice: Range): void;
  /** @returns partial sums that cover the shards, ascending by shard; undefined when it was cancelled */
  gradient(step: StepPosition, range: Range, combined: true): Promise<PartialSum[] | undefined>;
  /** Lets a call of {@link gradient} that is under way end before it is complete. */
  cancel(): void;
  /** A slice of a partial sum's vector as it travels. */
  packed(partial: PartialSum, wire: WireFormat, slice: Range): Uint8Array;
  release(partials: readonly PartialSum[]): void;
  close(): Promise<void>;
}

/** Keeps partitions under their SHA-256. */
export interface PartitionStore {
  /** Undefined when it must be fetched. */
  read(digest: string): Promise<Uint8Array | undefined>;
  /** Begins to receive a partition. @param origin `resume`: goes on after what was received before */
  begin(digest: string, origin: 'resume' | 'fresh'): Promise<PartWriter>;
}

/** A partition on its way. */
export interface PartWriter {
  /** Bytes received so far. */
  readonly size: number;
  append(bytes: Uint8Array): Promise<void>;
  /** Checks what came. @returns undefined when it is wrong, and deleted */
  finish(): Promise<Uint8Array | undefined>;
  /** Lets go of it. */
  release(): Promise<void>;
}

/** What computes, for people. */
interface EngineInUse {
  readonly kind: string;
  readonly device: string;
  /** Why this one. */
  readonly reason: string;
}

/** A pool that works, with what it computes on. */
export interface OpenedPool<Pool extends GradientPool = GradientPool> {
  readonly engine: EngineInUse;
  readonly pool: Pool;
  /** What the engine computes in the self-test. */
  readonly sketch: readonly number[];
}

/** Makes a pool for a job. @throws LockstepError when no engine works here; or the reason of an abort */
export type OpenPool = (job: RemoteJob, signal: AbortSignal) => Promise<OpenedPool>;
