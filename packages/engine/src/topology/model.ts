/** Reads a Keras model's JSON, as a tf.js `model.json` or Keras' own `to_json` holds it: its layers and what each reads. */
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';
import { unsupported } from './keras.ts';
import type { Shape } from './network.ts';

const invalid = (message: string): LockstepError =>
  new LockstepError(
    'model-invalid',
    message,
    'Give a layers model: a tf.js model.json (model.save) or the JSON of a Keras model (model.to_json()).',
  );

const layerSchema = z.object({
  class_name: z.string(),
  name: z.string().optional(),
  config: z.record(z.string(), z.unknown()),
  inbound_nodes: z.array(z.unknown()).optional(),
});
type LayerConfig = z.output<typeof layerSchema>;

const modelSchema = z.object({
  class_name: z.string(),
  config: z.union([
    z
      .array(layerSchema)
      .transform((layers) => ({ name: 'model', layers, output_layers: undefined, trainable: undefined })),
    z.object({
      name: z.string().default('model'),
      layers: z.array(layerSchema),
      output_layers: z.array(z.unknown()).optional(),
      trainable: z.boolean().optional(),
    }),
  ]),
});
type ModelConfig = z.output<typeof modelSchema>;

/** Unwraps {modelTopology: {model_config: {class_name, config}}} at whatever level the file starts. */
function findModel(json: unknown): ModelConfig {
  let model = json;
  for (const wrapper of ['modelTopology', 'model_config']) {
    if (model !== null && typeof model === 'object' && wrapper in model)
      model = (model as Record<string, unknown>)[wrapper];
  }
  if (model !== null && typeof model === 'object' && 'node' in model) {
    throw invalid('This is a graph model (a frozen TensorFlow graph), which cannot be trained.');
  }
  const parsed = modelSchema.safeParse(model);
  if (!parsed.success) throw invalid(`This is no Keras topology: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

const layerName = (layer: LayerConfig): string => String(layer.config.name ?? layer.name ?? layer.class_name);

/** Names of the layers that a functional layer reads, from Keras 2 ([[name, 0, 0, {}]]) or Keras 3 (tensors in args). */
function inboundNames(layer: LayerConfig): string[] {
  const calls = layer.inbound_nodes ?? [];
  if (calls.length > 1) {
    throw unsupported(
      `Layer "${layerName(layer)}" is used ${calls.length} times; shared layers are not supported.`,
      'Give each use its own layer.',
    );
  }
  const names: string[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      if (typeof value[0] === 'string' && typeof value[1] === 'number') names.push(value[0]);
      else value.forEach(visit);
    } else if (value !== null && typeof value === 'object') {
      const { class_name, config, args } = value as {
        class_name?: unknown;
        config?: Record<string, unknown>;
        args?: unknown;
      };
      if (class_name === '__keras_tensor__') visit(config?.keras_history);
      else if (args !== undefined) visit(args);
    }
  };
  visit(calls);
  return names;
}

/** A layer of the model, not yet checked. */
export interface ModelLayer {
  readonly className: string;
  readonly name: string;
  readonly config: LayerConfig['config'];
  /** Names of the layers it reads; none where the model starts. */
  readonly inputs: readonly string[];
}

export interface ModelGraph {
  readonly name: string;
  /** In an order in which each comes after those it reads. */
  readonly layers: readonly ModelLayer[];
  /** Name of the layer whose output is the model's; all the others lead to it. */
  readonly output: string;
}

function sortLayers(layers: readonly LayerConfig[], sequential: boolean): ModelLayer[] {
  const pending = layers.map((layer, i): ModelLayer => {
    const before = i === 0 ? [] : [layerName(layers[i - 1]!)];
    const inputs = sequential ? before : inboundNames(layer);
    return { className: layer.class_name, name: layerName(layer), config: layer.config, inputs };
  });
  if (sequential) return pending;
  const done = new Set<string>();
  const sorted: ModelLayer[] = [];
  while (pending.length > 0) {
    const next = pending.findIndex(({ inputs }) => inputs.every((name) => done.has(name)));
    if (next < 0) {
      const { name, inputs } = pending[0]!;
      throw invalid(
        `Layer "${name}" reads from ${inputs.map((input) => `"${input}"`).join(', ')}, which is missing or part of a circle.`,
      );
    }
    const [layer] = pending.splice(next, 1);
    sorted.push(layer!);
    done.add(layer!.name);
  }
  return sorted;
}

function outputName({ config }: ModelConfig, layers: readonly ModelLayer[]): string {
  const names: string[] = [];
  const visit = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    if (typeof value[0] === 'string') names.push(value[0]);
    else value.forEach(visit);
  };
  visit(config.output_layers);
  if (names.length > 1) {
    throw unsupported(
      `The model has ${names.length} outputs (${names.join(', ')}).`,
      'A classifier has one output: the class probabilities.',
    );
  }
  const name = names[0] ?? layers.at(-1)?.name;
  if (name === undefined || !layers.some((layer) => layer.name === name)) {
    throw invalid('The model has no layers, or its output is not one of them.');
  }
  return name;
}

/** A layer that the output does not depend on would be carried along and never trained. */
function refuseDeadEnds(layers: readonly ModelLayer[], output: string): void {
  const used = new Set([output]);
  for (const { name, inputs } of [...layers].reverse()) {
    if (used.has(name)) for (const input of inputs) used.add(input);
  }
  const deadEnd = layers.find(({ name }) => !used.has(name));
  if (deadEnd) {
    throw unsupported(
      `Layer "${deadEnd.name}" does not lead to the model's output, "${output}".`,
      'Remove it from the model, or connect it.',
    );
  }
}

/**
 * @throws LockstepError `model-invalid` when it is no Keras topology, `model-unsupported` when the layers do not make one
 *   chain or graph with a single output
 */
export function readModel(json: unknown): ModelGraph {
  const model = findModel(json);
  const { name, trainable } = model.config;
  const sequential = model.class_name === 'Sequential';
  if (!sequential && !['Model', 'Functional'].includes(model.class_name)) {
    throw unsupported(`The model is a ${model.class_name}.`, 'Sequential and functional models are supported.');
  }
  if (trainable === false) {
    throw unsupported(
      `The model "${name}" is frozen (trainable: false).`,
      'Set trainable to true and export it again.',
    );
  }
  const layers = sortLayers(model.config.layers, sequential);
  const names = new Set<string>();
  for (const layer of layers) {
    if (names.has(layer.name)) throw invalid(`Two layers are called "${layer.name}".`);
    names.add(layer.name);
  }
  const output = outputName(model, layers);
  refuseDeadEnds(layers, output);
  return { name, layers, output };
}

/** The shape of the samples that a model's first layer declares; the batch dimension, fixed or not, does not matter. */
export function inputShape({ name, config }: ModelLayer): Shape {
  const parsed = z
    .array(z.number().int().positive().nullable())
    .min(1)
    .safeParse(config.batch_input_shape ?? config.batch_shape);
  if (!parsed.success) {
    throw invalid(`The first layer, "${name}", does not say its input shape (batch_input_shape or batch_shape).`);
  }
  const shape = parsed.data.slice(1);
  if (shape.includes(null)) {
    throw unsupported(
      `Layer "${name}" takes pictures of the shape [${shape.map((dimension) => dimension ?? 'any').join(', ')}].`,
      'Height, width and channels must be fixed, such as [28, 28, 1].',
    );
  }
  return shape as number[];
}
