/** Loads an exported tf.js model from memory, as `tf.loadLayersModel` does from files or a server. */
import * as tf from '@tensorflow/tfjs';
import type { ExportedFile } from '../description.ts';

export function loadTfjs(files: readonly ExportedFile[]): Promise<tf.LayersModel> {
  const find = (name: string): Uint8Array => {
    const file = files.find((candidate) => candidate.name === name);
    if (!file) throw new Error(`model.json names ${name}, which is not there`);
    return file.bytes;
  };
  const json = JSON.parse(new TextDecoder().decode(find('model.json'))) as tf.io.ModelJSON;
  const handler: tf.io.IOHandler = {
    load: async () => {
      const paths = json.weightsManifest.flatMap((group) => group.paths);
      return {
        modelTopology: json.modelTopology,
        weightSpecs: json.weightsManifest.flatMap((group) => group.weights),
        weightData: paths.map((path) => find(path).slice().buffer as ArrayBuffer),
      };
    },
  };
  return tf.loadLayersModel(handler);
}
