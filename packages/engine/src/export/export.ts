/** Turns a trained model into files that other programs load: tf.js, anything that runs ONNX, or reads safetensors. */
import { encodeSafetensors, invariant, tensorsOf } from '@lockstep/core';
import { compileClassifier } from '../onnx/compile.ts';
import { describeModel, type ExportedFile, type TrainedModel } from './description.ts';
import { tfjsFiles } from './tfjs-model.ts';

export const exportFormats = ['tfjs', 'onnx', 'safetensors'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** `tfjs` is a folder of files, the others are one file each. */
export const isFolder = (format: ExportFormat): boolean => format === 'tfjs';

/**
 * The files of a model in a format, in the order in which they should be written.
 * @throws LockstepError `model-unsupported` when the format has no way to say something that the model needs
 */
export function exportModel(format: ExportFormat, model: TrainedModel): ExportedFile[] {
  const { network, parameters, notes } = model;
  invariant(parameters.length >= network.layout.numParameters, 'there is a value for every parameter');
  switch (format) {
    case 'tfjs':
      return tfjsFiles(model);
    case 'onnx': {
      const { text, input, output, metadata } = describeModel(model, 'probabilities');
      const values = { images: input, probabilities: output };
      const description = { producerVersion: notes.version, text, values, metadata };
      return [{ name: 'model.onnx', bytes: compileClassifier(network, parameters, description) }];
    }
    case 'safetensors': {
      const { metadata } = describeModel(model, network.endsInSoftmax ? 'probabilities' : 'logits');
      const topology = JSON.stringify(network.modelTopology);
      const tensors = tensorsOf(network.layout, parameters);
      const bytes = encodeSafetensors({ tensors, metadata: { format: 'keras', ...metadata, topology } });
      return [{ name: 'model.safetensors', bytes }];
    }
    default:
      return format satisfies never;
  }
}
