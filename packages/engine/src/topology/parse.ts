/** Reads a Keras topology, as a tf.js `model.json` or Keras' own `to_json` holds it, into a {@link Network}. */
import { LockstepError, ParameterLayout, type ParameterSpec } from '@lockstep/core';
import { z } from 'zod';
import { unsupported } from './keras.ts';
import { layerBuilders, supportedLayers } from './layers.ts';
import { type LayerNode, type Network, numElements, type Shape } from './network.ts';

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
    z.array(layerSchema).transform((layers) => ({ name: 'model', layers, output_layers: undefined })),
    z.object({
      name: z.string().default('model'),
      layers: z.array(layerSchema),
      output_layers: z.array(z.unknown()).optional(),
    }),
  ]),
});

/** Unwraps {modelTopology: {model_config: {class_name, config}}} at whatever level the file starts. */
function findModel(json: unknown): z.output<typeof modelSchema> {
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

function inputShape(layer: LayerConfig): Shape | undefined {
  const shape = layer.config.batch_input_shape ?? layer.config.batch_shape;
  const parsed = z.tuple([z.null()]).rest(z.number().int().positive()).safeParse(shape);
  return parsed.success ? (parsed.data.slice(1) as number[]) : undefined;
}

/** Layers in an order in which each comes after those it reads. */
function sortLayers(layers: readonly LayerConfig[], sequential: boolean): { layer: LayerConfig; inputs: string[] }[] {
  if (sequential) {
    return layers.map((layer, i) => ({ layer, inputs: i === 0 ? [] : [layerName(layers[i - 1]!)] }));
  }
  const pending = layers.map((layer) => ({ layer, inputs: inboundNames(layer) }));
  const done = new Set<string>();
  const sorted: typeof pending = [];
  while (pending.length > 0) {
    const next = pending.findIndex(({ inputs }) => inputs.every((name) => done.has(name)));
    if (next < 0) {
      const { layer, inputs } = pending[0]!;
      throw invalid(
        `Layer "${layerName(layer)}" reads from ${inputs.map((name) => `"${name}"`).join(', ')}, which is missing or part of a circle.`,
      );
    }
    const [entry] = pending.splice(next, 1);
    sorted.push(entry!);
    done.add(layerName(entry!.layer));
  }
  return sorted;
}

/** Name of the layer whose output is the model's. */
function outputName(model: z.output<typeof modelSchema>, order: readonly { layer: LayerConfig }[]): string {
  const names: string[] = [];
  const visit = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    if (typeof value[0] === 'string') names.push(value[0]);
    else value.forEach(visit);
  };
  visit(model.config.output_layers);
  if (names.length > 1) {
    throw unsupported(
      `The model has ${names.length} outputs (${names.join(', ')}).`,
      'A classifier has one output: the class probabilities.',
    );
  }
  return names[0] ?? (order.length === 0 ? '' : layerName(order.at(-1)!.layer));
}

function build(layer: LayerConfig, name: string, inputs: readonly Shape[], numDropouts: number) {
  const builder = layerBuilders[layer.class_name];
  if (!builder) {
    throw unsupported(
      `Layer "${name}" is a ${layer.class_name}, which is not supported.`,
      `Supported layers: ${supportedLayers.join(', ')}.`,
    );
  }
  try {
    return builder(layer.config, { name, inputs, numDropouts });
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const issues = error.issues.map((issue) => `${issue.path.join('.') || 'config'}: ${issue.message}`).join('; ');
    throw unsupported(
      `Layer "${name}" (${layer.class_name}): ${issues}.`,
      'Change the layer in the model and export it again.',
    );
  }
}

/**
 * Reads a topology.
 * @param json the parsed file
 * @throws LockstepError `model-invalid` when it is no Keras topology, `model-unsupported` when it asks for something that
 *   Lockstep cannot train, naming the layer
 */
export function parseTopology(json: unknown): Network {
  const model = findModel(json);
  const sequential = model.class_name === 'Sequential';
  if (!sequential && !['Model', 'Functional'].includes(model.class_name)) {
    throw unsupported(`The model is a ${model.class_name}.`, 'Sequential and functional models are supported.');
  }
  const order = sortLayers(model.config.layers, sequential);
  const nodes: LayerNode[] = [];
  const specs: ParameterSpec[] = [];
  const dropouts: { rate: number; size: number }[] = [];
  /** Of each layer: the node that produces its output. */
  const outputs = new Map<string, LayerNode>();

  for (const { layer, inputs } of order) {
    const name = layerName(layer);
    if (outputs.has(name)) throw invalid(`Two layers are called "${name}".`);
    let sources = inputs.map((input) => outputs.get(input)!);
    if (sources.length === 0) {
      const shape = inputShape(layer);
      if (!shape || nodes.length > 0) {
        throw nodes.length > 0
          ? unsupported(`The model has a second input, "${name}".`, 'An image classifier has one input: the picture.')
          : invalid(`The first layer, "${name}", does not say its input shape (batch_input_shape or batch_shape).`);
      }
      const input: LayerNode = { kind: 'input', id: 'input', inputs: [], shape };
      nodes.push(input);
      outputs.set(name, input);
      if (layer.class_name === 'InputLayer') continue;
      sources = [input];
    }
    const built = build(
      layer,
      name,
      sources.map((source) => source.shape),
      dropouts.length,
    );
    specs.push(...built.parameters);
    if (built.operation.kind === 'dropout')
      dropouts.push({ rate: built.operation.rate, size: numElements(built.shape) });
    let node: LayerNode = {
      ...built.operation,
      id: name,
      inputs: sources.map((source) => source.id),
      shape: built.shape,
    };
    // A reshape to the same shape stands for an activation layer: the activation alone is enough.
    if (node.kind === 'reshape' && built.activation !== 'linear') node = sources[0]!;
    else nodes.push(node);
    if (built.activation !== 'linear') {
      node = {
        kind: 'activation',
        activation: built.activation,
        id: `${name}/${built.activation}`,
        inputs: [node.id],
        shape: node.shape,
      };
      nodes.push(node);
    }
    outputs.set(name, node);
  }

  const output = outputs.get(outputName(model, order));
  if (!output) throw invalid('The model has no layers, or its output is not one of them.');
  return finish(model.config.name, nodes, specs, dropouts, output, json);
}

function finish(
  name: string,
  nodes: readonly LayerNode[],
  specs: readonly ParameterSpec[],
  dropouts: Network['dropouts'],
  output: LayerNode,
  json: unknown,
): Network {
  const [input] = nodes;
  if (!input || input.shape.length !== 3) {
    throw unsupported(
      `The model's input has the shape [${input?.shape.join(', ')}].`,
      'It must take pictures: [height, width, channels], such as [28, 28, 1].',
    );
  }
  if (output.shape.length !== 1 || output.shape[0]! < 2) {
    throw unsupported(
      `The model's output has the shape [${output.shape.join(', ')}].`,
      'It must be one value per class.',
    );
  }
  const softmax = output.kind === 'activation' && output.activation === 'softmax';
  if (output.kind === 'activation' && !softmax) {
    throw unsupported(
      `The model ends in ${output.activation}.`,
      'A classifier ends in softmax, or in logits (a layer without activation).',
    );
  }
  const wrapped = json !== null && typeof json === 'object' && 'modelTopology' in json;
  return {
    name,
    inputShape: input.shape as unknown as readonly [number, number, number],
    numClasses: output.shape[0]!,
    nodes: softmax ? nodes.filter((node) => node !== output) : nodes,
    logits: softmax ? output.inputs[0]! : output.id,
    layout: new ParameterLayout(specs),
    dropouts,
    modelTopology: wrapped ? (json as { modelTopology: unknown }).modelTopology : json,
  };
}
