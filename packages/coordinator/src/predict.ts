/** Says what garments pictures show, with the weights of a run. */
import { fillFromTensors, LockstepError } from '@lockstep/core';
import { CLASS_NAMES, IMAGE_SHAPE, type PreparedPicture, preparePicture, readPhoto } from '@lockstep/dataset';
import {
  chooseEngine,
  createEngine,
  type Engine,
  type Network,
  parseTopology,
  predictViews,
  type Views,
} from '@lockstep/engine';
import { engineOptions } from '@lockstep/worker';
import { z } from 'zod';
import { checkAgainst, runOption, viewOptions } from './config.ts';
import { readRun, savedViews } from './run-folder.ts';

export const predictOptions = z.strictObject({
  run: runOption,
  ...engineOptions,
  ...viewOptions,
  top: z.int().positive().default(3).describe('how many classes to name, the most probable first'),
});
export type PredictOptions = z.input<typeof predictOptions>;

export interface PredictContext {
  /** Called once, before the first picture. */
  readonly onRun?: (run: { readonly runDir: string; readonly model: string; readonly engine: string }) => void;
}

export interface Prediction {
  readonly class: number;
  readonly name: string;
  readonly probability: number;
}

/** What the model says about a picture. */
export interface PicturePrediction {
  readonly file: string;
  /** From the most probable on. */
  readonly predictions: readonly Prediction[];
  /** Of the picture as it was. */
  readonly background: PreparedPicture['background'];
  /** [28, 28] what the model saw. */
  readonly pixels: Uint8Array;
}

/** A picture that could not be used, and why; the others are not affected. */
export interface PictureFailure {
  readonly file: string;
  readonly error: LockstepError;
}

/**
 * Predicts the class of each picture: PNG, JPEG, WebP, GIF, BMP or AVIF of any size.
 * @param files paths
 * @throws LockstepError when the run or the engine cannot be used
 */
export async function* predict(
  files: readonly string[],
  options: PredictOptions = {},
  context: PredictContext = {},
): AsyncGenerator<PicturePrediction | PictureFailure, void, void> {
  const config = checkAgainst(predictOptions, options, 'predict');
  const run = await readRun(config.run);
  const network = parseTopology(run.modelTopology);
  checkShape(network, run.path);
  const parameters = new Float32Array(network.layout.numParameters);
  fillFromTensors(network.layout, parameters, run.tensors, run.path);
  const { kind, device } = await chooseEngine(config.engine, config.device, { network, labelSmoothing: 0 });
  context.onRun?.({ runDir: run.path, model: network.name, engine: `${kind} on ${device}` });
  const views = savedViews(run, config);
  const engine = await createEngine(kind, { network, labelSmoothing: 0 }, device);
  try {
    engine.setParameters(parameters);
    for (const file of files) {
      try {
        const { pixels, background } = preparePicture(await readPhoto(file), file);
        const predictions = await rank(engine, network, views, pixels);
        yield { file, predictions: predictions.slice(0, config.top), background, pixels };
      } catch (error) {
        if (!(error instanceof LockstepError) || error.code !== 'image-invalid') throw error;
        yield { file, error };
      }
    }
  } finally {
    await engine.dispose();
  }
}

/** All classes; of equally probable ones the lowest first. */
async function rank(engine: Engine, network: Network, views: Views, pixels: Uint8Array): Promise<Prediction[]> {
  const probabilities = new Float32Array(CLASS_NAMES.length);
  const sample = { count: 1, images: pixels, labels: new Uint8Array(1) };
  await predictViews(engine, network, sample, views, probabilities);
  const all = CLASS_NAMES.map((name, i): Prediction => ({ class: i, name, probability: probabilities[i]! }));
  return all.sort((a, b) => b.probability - a.probability);
}

/** @throws LockstepError `model-unsupported` for a model of other pictures or classes */
function checkShape({ inputShape, numClasses }: Network, source: string): void {
  if (inputShape.join() === IMAGE_SHAPE.join() && numClasses === CLASS_NAMES.length) return;
  const shape = inputShape.join(' x ');
  throw new LockstepError(
    'model-unsupported',
    `The model of ${source} takes pictures of ${shape} and tells ${numClasses} classes apart.`,
    `Use a run whose model takes ${IMAGE_SHAPE.join(' x ')} and tells ${CLASS_NAMES.length} apart.`,
  );
}
