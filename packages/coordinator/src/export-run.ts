/** Writes the model of a run in a format that other programs load. */
import { fillFromTensors } from '@lockstep/core';
import { CLASS_NAMES } from '@lockstep/dataset';
import { describeViews, exportFormats, exportModel, isFolder, parseTopology } from '@lockstep/engine';
import { z } from 'zod';
import { checkAgainst, runOption } from './config.ts';
import { writeNewFile, writeNewFolder } from './output-files.ts';
import { fileNameOf, readDescription, readRun, savedViews, weightsSha256 } from './run-folder.ts';
import { VERSION } from './version.ts';

export const exportOptions = z.strictObject({
  run: runOption,
  format: z
    .enum(exportFormats)
    .default('tfjs')
    .describe('tfjs: a folder for tf.loadLayersModel; onnx: one file with probabilities; safetensors: weights by name'),
  out: z
    .string()
    .min(1)
    .optional()
    .describe('file to write, for tfjs a folder (default: <model>-tfjs, <model>.onnx, …)'),
  force: z.boolean().default(false).describe('replace what an earlier export wrote there'),
});
export type ExportOptions = z.input<typeof exportOptions>;

export interface ExportReport {
  readonly runDir: string;
  readonly model: string;
  readonly format: (typeof exportFormats)[number];
  /** Absolute path of the file, or of the folder. */
  readonly path: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  readonly weightsSha256: string;
}

/**
 * Exports the model of a finished run.
 * @throws LockstepError `output-exists`, `output-unwritable`, `model-unsupported`, or that the run cannot be read
 */
export async function exportRun(options: ExportOptions = {}): Promise<ExportReport> {
  const { run: path, format, out, force } = checkAgainst(exportOptions, options, 'export');
  const run = await readRun(path);
  const network = parseTopology(run.modelTopology);
  const parameters = new Float32Array(network.layout.numParameters);
  fillFromTensors(network.layout, parameters, run.tensors, run.path);
  const sha256 = weightsSha256(parameters);
  const { dataset } = await readDescription(run.path);
  const { testAccuracy } = run.metadata;
  const views = describeViews(savedViews(run));
  const facts = {
    weightsSha256: sha256,
    trainedOn: `${dataset.name}, SHA-256 ${dataset.sha256}`,
    ...(testAccuracy === undefined ? {} : { testAccuracy }),
    ...(views === undefined ? {} : { testAccuracyOf: `the mean over ${views}` }),
  };
  const pictures = '28 x 28 pixels of luminance, a light garment on black that fills the picture';
  const notes = { version: VERSION, classNames: CLASS_NAMES.slice(0, network.numClasses), pictures, facts };
  const files = exportModel(format, { network, parameters, notes });
  const name = fileNameOf(network.name);
  const target = out ?? (isFolder(format) ? `${name}-${format}` : `${name}.${format}`);
  const written = isFolder(format)
    ? await writeNewFolder(target, files, force, EXPORTED)
    : await writeNewFile(target, files[0]!.bytes, force);
  return {
    runDir: run.path,
    model: network.name,
    format,
    path: written,
    files: files.map(({ name, bytes }) => ({ name, bytes: bytes.length })),
    weightsSha256: sha256,
  };
}

/** What an earlier export left in a folder, and may be replaced. */
const EXPORTED = /^(model\.json|group\d+-shard\d+of\d+\.bin)$/;
