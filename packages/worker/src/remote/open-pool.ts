/** The pool of a remote worker in Node.js: threads, each with the best engine that works on this machine. */
import { optimizerDefaults } from '@lockstep/core';
import { chooseEngine, findPageAdvice, numEngineThreads, PLAIN_VIEW } from '@lockstep/engine';
import type { RemoteJob } from './job.ts';
import type { JoinConfig } from './options.ts';
import type { OpenedPool } from './roles.ts';
import type { JoinSettings } from './settings.ts';

export interface ThreadPoolOptions {
  readonly config: JoinConfig;
  readonly settings: JoinSettings;
  /** Told when a thread failed and its work was done again. */
  readonly onRecovery: (reason: string) => void;
}

/** @throws LockstepError `engine-unavailable`, or what keeps the threads from starting */
export async function openThreadPool(
  job: RemoteJob,
  { config, settings, onRecovery }: ThreadPoolOptions,
  signal: AbortSignal,
): Promise<OpenedPool> {
  const { network, labelSmoothing, augmentation, reduction, topology, seed, numSamples, numShards, batchSize } = job;
  const engine = await chooseEngine(
    config.engine,
    config.device,
    { network, labelSmoothing },
    { microBatch: Math.ceil(batchSize / numShards), maxGroup: numShards, numThreads: config.numThreads },
  );
  const advise = await findPageAdvice(engine.kind);
  signal.throwIfAborted();
  const nothing = new Uint8Array(new SharedArrayBuffer(0));
  const pool = settings.createPool({
    // The coordinator updates the parameters; no optimizer is used here.
    job: {
      topology,
      labelSmoothing,
      augmentation,
      reduction,
      seed,
      numSamples,
      numShards,
      batchSize,
      engine: engine.kind,
      device: engine.device,
      optimizer: optimizerDefaults.sgd,
      ema: 0,
      views: PLAIN_VIEW,
      keepsReference: false,
    },
    network,
    train: undefined,
    test: { images: nothing, labels: nothing, count: 0 },
    numThreads: numEngineThreads(engine, config.workers),
    advise,
    onRecovery,
  });
  try {
    await pool.prepare();
    return { engine, pool, sketch: await pool.selfTest() };
  } catch (error) {
    await pool.close();
    throw error;
  }
}
