/** The process of trial.ts: opens an engine, holds its gradient against the CPU's, and measures. */
import { LockstepError } from '@lockstep/core';
import type { Engine, EngineConfig, MicroBatch, Samples } from '../engine.ts';
import { createEngine } from '../select.ts';
import { compareSketches, sketchGradient } from '../self-test.ts';
import { parseTopology } from '../topology/parse.ts';
import { noiseSamples } from './noise.ts';
import type { TrialRequest, TrialResult } from './trial.ts';

/** Of the self-test; any will do. */
const SEED = 0;
/** Samples of a call that tells how long a whole one would take. */
const PROBE = 2;
/** An engine whose calls take longer is measured by such a small call alone. */
const MAX_CALL_SECONDS = 5;

/** The engine that the others are held against; plain tf.js where ONNX Runtime is missing. */
const openReference = (config: EngineConfig): Promise<Engine> =>
  createEngine('onnx', config, 'cpu').catch(() => createEngine('tfjs', config, 'auto'));

/** Samples per second of calls as a pool makes them. */
async function measure(engine: Engine, config: EngineConfig, request: TrialRequest): Promise<number> {
  const { microBatch, maxGroup, seconds } = request;
  const samples = noiseSamples(config.network, microBatch);
  const sums = new Float32Array(config.network.layout.sumLength);
  const call = async (shards: readonly Samples[]): Promise<number> => {
    const batches = shards.map((samples, shard): MicroBatch => ({ samples, key: { seed: 0, step: 0, shard } }));
    const started = performance.now();
    await engine.gradient(batches, sums);
    return (performance.now() - started) / 1000;
  };
  // The first call of a size prepares much.
  const few = { ...samples, count: Math.min(PROBE, microBatch) };
  await call([few]);
  const perSample = (await call([few])) / few.count;
  if (perSample * microBatch > MAX_CALL_SECONDS) return 1 / perSample;
  const group = new Array<Samples>(Math.min(engine.maxGroup, maxGroup)).fill(samples);
  await call(group);
  let spent = 0;
  let numSamples = 0;
  do {
    spent += await call(group);
    numSamples += group.length * microBatch;
  } while (spent < seconds);
  return numSamples / spent;
}

async function run(request: TrialRequest): Promise<TrialResult> {
  const config = { network: parseTopology(request.topology), labelSmoothing: request.labelSmoothing };
  const engine = await createEngine(request.kind, config, request.device);
  const reference = await openReference(config);
  const [found, expected] = [
    await sketchGradient(engine, config.network, SEED),
    await sketchGradient(reference, config.network, SEED),
  ];
  const problem = compareSketches(config.network, found, expected);
  if (problem !== undefined) {
    return {
      works: false,
      reason: `it computes wrong: ${problem}.`,
      nextStep: 'Update its driver, or use another --device.',
    };
  }
  await reference.dispose();
  const rate = request.seconds === 0 ? undefined : await measure(engine, config, request);
  const { device } = engine;
  await engine.dispose();
  return { works: true, device, rate };
}

process.once('message', async (request: TrialRequest) => {
  const result = await run(request).catch((error: Error): TrialResult => {
    const nextStep = error instanceof LockstepError ? error.nextStep : 'Use another --device.';
    return { works: false, reason: error.message, nextStep };
  });
  process.send!(result);
});
