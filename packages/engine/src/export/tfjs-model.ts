/** A tf.js layers model as files: `model.json` and shards of weights, as `tf.loadLayersModel` takes them. */
import { describeModel, type ExportedFile, type TrainedModel } from './description.ts';
import { tfjsTopology } from './tfjs-topology.ts';

/** Small enough for caches and hosts with a limit per file; a multiple of four. */
const SHARD_BYTES = 4_000_000;

export function tfjsFiles(model: TrainedModel): ExportedFile[] {
  const { network, parameters, notes } = model;
  const { layout } = network;
  // The flat vector has no gaps, so its bytes are those of the tensors in the order of the manifest.
  const { buffer, byteOffset } = parameters;
  const bytes = new Uint8Array(buffer, byteOffset, layout.numParameters * Float32Array.BYTES_PER_ELEMENT);
  const numShards = Math.ceil(bytes.length / SHARD_BYTES);
  const shards = Array.from({ length: numShards }, (_, i) => ({
    name: `group1-shard${i + 1}of${numShards}.bin`,
    bytes: bytes.slice(i * SHARD_BYTES, (i + 1) * SHARD_BYTES),
  }));
  const json = {
    format: 'layers-model',
    generatedBy: `lockstep ${notes.version}`,
    convertedBy: null,
    modelTopology: tfjsTopology(network),
    weightsManifest: [
      {
        paths: shards.map(({ name }) => name),
        weights: layout.parameters.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
      },
    ],
    userDefinedMetadata: describeModel(model, network.endsInSoftmax ? 'probabilities' : 'logits').metadata,
  };
  const text = `${JSON.stringify(json, undefined, 2)}\n`;
  return [...shards, { name: 'model.json', bytes: new TextEncoder().encode(text) }];
}
