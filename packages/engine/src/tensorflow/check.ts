/**
 * A process of its own, since a broken native library brings down the one that loads it. Loads an installation, computes a
 * gradient of a dense and of a convolutional network, and writes a report as JSON.
 */
import type { Engine } from '../engine.ts';
import { selfTestSums } from '../self-test.ts';
import { loadCpuBackend, openTensorflow } from '../tfjs/backends.ts';
import { createEngineOnBackend } from '../tfjs/engine.ts';
import type { Network } from '../topology/network.ts';
import { parseTopology } from '../topology/parse.ts';
import { zoo } from '../zoo/recipes.ts';
import { versionOf } from './load.ts';

/** Of the self-test's noise; any will do. */
const SEED = 1;

export interface CheckReport {
  /** As TensorFlow itself says. */
  readonly version: string;
  readonly device: string;
  /** Largest distance of a gradient from that of tf.js, relative to its length. */
  readonly error: number;
}

async function gradientOf(engine: Engine, network: Network): Promise<Float32Array> {
  const sums = await selfTestSums(engine, network, SEED);
  await engine.dispose();
  return sums.subarray(0, network.layout.numWeights);
}

const [folder] = process.argv.slice(2);
const backend = await openTensorflow(folder!);
let error = 0;
for (const name of ['mlp', 'cnn'] as const) {
  const config = { network: parseTopology(zoo[name].topology), labelSmoothing: 0 };
  const own = await gradientOf(await createEngineOnBackend(config, backend), config.network);
  const plain = await gradientOf(await createEngineOnBackend(config, await loadCpuBackend()), config.network);
  error = Math.max(error, norm(own.map((value, i) => value - plain[i]!)) / norm(plain));
}
const report: CheckReport = { version: versionOf(folder!), device: backend.device, error };
process.stdout.write(`${JSON.stringify(report)}\n`);

function norm(vector: Float32Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}
