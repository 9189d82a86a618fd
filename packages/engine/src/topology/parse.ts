/** Turns a Keras topology into a {@link Network}: the nodes that engines compute and the parameters they own. */
import { ParameterLayout, type ParameterSpec } from '@lockstep/core';
import { z } from 'zod';
import { unsupported } from './keras.ts';
import { type BuiltLayer, joiningLayers, layerBuilders, supportedLayers } from './layers.ts';
import { inputShape, type ModelLayer, readModel } from './model.ts';
import { type LayerNode, type Network, numElements, type Shape } from './network.ts';

function build(layer: ModelLayer, inputs: readonly Shape[], numDropouts: number): BuiltLayer {
  const { className, name } = layer;
  const builder = layerBuilders[className];
  if (!builder) {
    throw unsupported(
      `Layer "${name}" is a ${className}, which is not supported.`,
      `Supported layers: ${supportedLayers.join(', ')}.`,
    );
  }
  if (inputs.length > 1 && !joiningLayers.has(className)) {
    throw unsupported(
      `Layer "${name}" (${className}) reads ${inputs.length} inputs, but takes one.`,
      `Join them before it: ${[...joiningLayers].join(' or ')}.`,
    );
  }
  const built = buildWith(() => builder(layer.config, { name, inputs, numDropouts }), layer);
  if (layer.config.trainable === false && built.parameters.length > 0) {
    throw unsupported(
      `Layer "${name}" is frozen (trainable: false), but all parameters are trained.`,
      'Set trainable to true and export the model again.',
    );
  }
  return built;
}

/** Turns what a schema has to say about a layer's configuration into an error that names the layer. */
function buildWith(run: () => BuiltLayer, { className, name }: ModelLayer): BuiltLayer {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const issues = error.issues.map((issue) => `${issue.path.join('.') || 'config'}: ${issue.message}`).join('; ');
    throw unsupported(
      `Layer "${name}" (${className}): ${issues}.`,
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
  const model = readModel(json);
  const nodes: LayerNode[] = [];
  const specs: ParameterSpec[] = [];
  const dropouts: { rate: number; size: number }[] = [];
  /** Of each layer: the node that produces its output. */
  const outputs = new Map<string, LayerNode>();
  // A node has its layer's name as id; a node that is no layer has an id that no layer and no other node has.
  const ids = new Set(model.layers.filter(({ className }) => className !== 'InputLayer').map(({ name }) => name));
  const newId = (wanted: string): string => {
    let id = wanted;
    while (ids.has(id)) id += "'";
    ids.add(id);
    return id;
  };

  for (const layer of model.layers) {
    const { name } = layer;
    let sources = layer.inputs.map((input) => outputs.get(input)!);
    if (sources.length === 0) {
      if (nodes.length > 0) {
        throw unsupported(
          `The model has a second input, "${name}".`,
          'An image classifier has one input: the picture.',
        );
      }
      const input: LayerNode = { kind: 'input', id: newId('input'), inputs: [], shape: inputShape(layer) };
      nodes.push(input);
      outputs.set(name, input);
      if (layer.className === 'InputLayer') continue;
      sources = [input];
    }
    const built = build(
      layer,
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
    // A reshape to the same shape does nothing; an activation layer is one, followed by its activation.
    if (node.kind === 'reshape' && node.shape.join() === sources[0]!.shape.join()) node = sources[0]!;
    else nodes.push(node);
    if (built.activation !== 'linear') {
      node = {
        kind: 'activation',
        activation: built.activation,
        id: newId(`${name}/${built.activation}`),
        inputs: [node.id],
        shape: node.shape,
      };
      nodes.push(node);
    }
    outputs.set(name, node);
  }

  const output = outputs.get(model.output)!;
  const [input] = nodes;
  if (input?.shape.length !== 3) {
    throw unsupported(
      `The model's input has the shape [${input?.shape.join(', ')}].`,
      'It must take pictures: [height, width, channels], such as [28, 28, 1].',
    );
  }
  const wrapped = json !== null && typeof json === 'object' && 'modelTopology' in json;
  return {
    name: model.name,
    inputShape: input.shape as unknown as readonly [number, number, number],
    numClasses: output.shape[0]!,
    ...withoutSoftmax(nodes, output),
    layout: new ParameterLayout(specs),
    dropouts,
    modelTopology: wrapped ? (json as { modelTopology: unknown }).modelTopology : json,
  };
}

/** Checks that the model ends in logits or in softmax, and takes a softmax at the very end away: it belongs to the loss. */
function withoutSoftmax(
  nodes: readonly LayerNode[],
  output: LayerNode,
): Pick<Network, 'nodes' | 'logits' | 'endsInSoftmax'> {
  if (output.shape.length !== 1 || output.shape[0]! < 2) {
    throw unsupported(
      `The model's output has the shape [${output.shape.join(', ')}].`,
      'It must be one value per class.',
    );
  }
  // Neither a reshape nor dropout makes logits of what an activation left.
  let last = output;
  while (last.kind === 'reshape' || last.kind === 'dropout') {
    const [before] = last.inputs;
    last = nodes.find(({ id }) => id === before)!;
  }
  if (last.kind !== 'activation') return { nodes, logits: output.id, endsInSoftmax: false };
  if (last.activation !== 'softmax') {
    throw unsupported(
      `The model ends in ${last.activation}.`,
      'A classifier ends in softmax, or in logits (a layer without activation).',
    );
  }
  if (last !== output) {
    throw unsupported(`The model goes on behind its softmax, with "${output.id}".`, 'Make softmax the last layer.');
  }
  // No other node reads it: every layer leads to the output.
  return { nodes: nodes.filter((node) => node !== output), logits: output.inputs[0]!, endsInSoftmax: true };
}
