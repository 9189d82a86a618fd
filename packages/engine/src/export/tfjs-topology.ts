/**
 * Writes a topology the way tf.js reads it, whichever Keras wrote it: tf.js knows neither Keras 3's functional models nor
 * all options of layers. What belongs to training (initializers) is left out, since the weights are there.
 */
import { LockstepError } from '@lockstep/core';
import { type ModelLayer, readModel } from '../topology/model.ts';
import type { Network, Shape } from '../topology/network.ts';

type Config = Readonly<Record<string, unknown>>;

interface TfjsLayer {
  readonly class_name: string;
  readonly config: Config & { readonly name: string };
  /** Names of the layers that it reads. */
  readonly inputs: readonly string[];
}

const convolution = ['kernel_size', 'strides', 'padding', 'use_bias', 'activation'];
const pooling = ['pool_size', 'strides', 'padding'];

/** Options that matter to what a layer computes. One that is absent has Keras' default in tf.js, too; but see `always`. */
const fields: { readonly [className: string]: readonly string[] } = {
  InputLayer: [],
  Dense: ['units', 'use_bias', 'activation'],
  Conv2D: ['filters', ...convolution],
  DepthwiseConv2D: ['depth_multiplier', ...convolution],
  MaxPooling2D: pooling,
  AveragePooling2D: pooling,
  GlobalAveragePooling2D: [],
  Flatten: [],
  Reshape: ['target_shape'],
  Activation: ['activation'],
  ReLU: ['max_value'],
  Softmax: [],
  Dropout: ['rate'],
  BatchNormalization: ['axis', 'momentum', 'epsilon', 'center', 'scale'],
  Add: [],
  Concatenate: ['axis'],
  ZeroPadding2D: ['padding'],
};

/** The softmax of tf.js takes the first axis when nothing is said; only the last is supported here. */
const always: { readonly [className: string]: Config } = { Softmax: { axis: -1 } };

/** Keras writes an activation as a name or as an object, and names in any case. */
function activationName(value: unknown, layer: string): string {
  const name = typeof value === 'string' ? value : String((value as { class_name?: unknown }).class_name);
  const lower = name.toLowerCase();
  if (lower !== 'gelu_new') return lower;
  throw new LockstepError(
    'model-unsupported',
    `tf.js cannot load the activation "gelu_new" of layer "${layer}": it looks for it under another name.`,
    'Use the activation "gelu", or export to onnx.',
  );
}

/** Some Keras write one axis as a list. */
const axisNumber = (value: unknown): unknown => (Array.isArray(value) && value.length === 1 ? value[0] : value);

/** @param shape of the layer's output */
function tfjsConfig({ className, name, config }: ModelLayer, shape: Shape): Config & { name: string } {
  const kept: Record<string, unknown> = {};
  for (const field of fields[className]!) {
    const value = config[field];
    if (value === undefined || value === null) continue;
    if (field === 'activation') kept[field] = activationName(value, name);
    else if (field === 'axis') kept[field] = axisNumber(value);
    // tf.js does not work out which dimension a -1 stands for before it needs to know.
    else if (field === 'target_shape') kept[field] = shape;
    else kept[field] = field === 'padding' && typeof value === 'string' ? value.toLowerCase() : value;
  }
  return { name, ...kept, ...always[className] };
}

/** The layers in an order in which each comes after those it reads. */
function tfjsLayers(network: Network): { layers: TfjsLayer[]; output: string } {
  const { layers: read, output } = readModel(network.modelTopology);
  const names = new Set(read.map(({ name }) => name));
  const nodeShapes = new Map(network.nodes.map(({ id, shape }) => [id, shape]));
  /** Of the layers' outputs; a layer that does nothing is no node. */
  const shapes = new Map<string, Shape>();
  /** Where a layer's output is to be had, when not from the layer itself. */
  const outputs = new Map<string, string>();
  const layers: TfjsLayer[] = [];
  for (const layer of read) {
    const { className, name } = layer;
    const [source] = layer.inputs;
    const shape = nodeShapes.get(name) ?? (source === undefined ? network.inputShape : shapes.get(source)!);
    shapes.set(name, shape);
    const input = source === undefined ? { batch_input_shape: [null, ...network.inputShape], dtype: 'float32' } : {};
    const inputs = layer.inputs.map((name) => outputs.get(name) ?? name);
    layers.push({ class_name: className, config: { ...tfjsConfig(layer, shape), ...input }, inputs });
    if (className === 'GlobalAveragePooling2D' && layer.config.keepdims === true) {
      // tf.js does not keep them; a layer of its own does.
      let kept = `${name}_keepdims`;
      while (names.has(kept)) kept += '_';
      names.add(kept);
      layers.push({ class_name: 'Reshape', config: { name: kept, target_shape: shape }, inputs: [name] });
      outputs.set(name, kept);
    }
  }
  return { layers, output: outputs.get(output) ?? output };
}

/** `modelTopology` of a tf.js `model.json`: sequential where each layer reads the one before, else functional. */
export function tfjsTopology(network: Network): unknown {
  const { layers, output } = tfjsLayers(network);
  const isChain = layers.every(({ inputs }, i) => i === 0 || inputs.join() === layers[i - 1]!.config.name);
  if (isChain) {
    const chain = layers.map(({ class_name, config }) => ({ class_name, config }));
    return { class_name: 'Sequential', config: { name: network.name, layers: chain } };
  }
  const [input] = layers;
  const config = {
    name: network.name,
    layers: layers.map(({ class_name, config, inputs }) => ({
      class_name,
      name: config.name,
      config,
      inbound_nodes: inputs.length === 0 ? [] : [inputs.map((from) => [from, 0, 0, {}])],
    })),
    input_layers: [[input!.config.name, 0, 0]],
    output_layers: [[output, 0, 0]],
  };
  return { class_name: 'Model', config };
}
