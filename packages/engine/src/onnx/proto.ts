/**
 * Writes ONNX models as protocol buffers: just the messages and fields that training graphs and exported models need.
 * Field numbers: onnx/onnx.proto3 of the ONNX project, IR version 10.
 */
import { PbfWriter } from 'pbf';

export const dataTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 } as const;
type DataType = keyof typeof dataTypes;

export interface TensorConstant {
  readonly name: string;
  readonly type: 'float32' | 'int64';
  readonly dims: readonly number[];
  readonly values: readonly number[] | Float32Array;
}

export interface ValueInfo {
  readonly name: string;
  readonly type: DataType;
  /** A string is a symbolic dimension, such as the batch. */
  readonly dims: readonly (number | string)[];
}

export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OperatorNode {
  readonly type: string;
  /** Undefined: one of the standard. */
  readonly domain: string | undefined;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: { readonly [name: string]: Attribute };
}

export interface Graph {
  readonly name: string;
  readonly nodes: readonly OperatorNode[];
  readonly constants: readonly TensorConstant[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

/** What a model says about itself, to people and to the programs that load it. */
export interface ModelDescription {
  readonly producerVersion: string;
  readonly text: string;
  /** Sentences about inputs and outputs, by their names. */
  readonly values: { readonly [name: string]: string };
  readonly metadata: { readonly [key: string]: string };
}

const IR_VERSION = 10;
const OPSET_VERSION = 21;
const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } as const;

function writeAttribute([name, value]: [string, Attribute], pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  if (typeof value === 'number') {
    pbf.writeVarintField(3, value);
    pbf.writeVarintField(20, attributeTypes.int);
  } else if (typeof value === 'string') {
    pbf.writeStringField(4, value);
    pbf.writeVarintField(20, attributeTypes.string);
  } else if ('float' in value) {
    pbf.writeFloatField(2, value.float);
    pbf.writeVarintField(20, attributeTypes.float);
  } else {
    for (const item of value) pbf.writeVarintField(8, item);
    pbf.writeVarintField(20, attributeTypes.ints);
  }
}

function writeNode(node: OperatorNode, pbf: PbfWriter): void {
  for (const input of node.inputs) pbf.writeStringField(1, input);
  for (const output of node.outputs) pbf.writeStringField(2, output);
  pbf.writeStringField(3, node.outputs[0]!);
  pbf.writeStringField(4, node.type);
  if (node.domain !== undefined) pbf.writeStringField(7, node.domain);
  for (const attribute of Object.entries(node.attributes)) pbf.writeMessage(5, writeAttribute, attribute);
}

function writeTensor(tensor: TensorConstant, pbf: PbfWriter): void {
  for (const dimension of tensor.dims) pbf.writeVarintField(1, dimension);
  pbf.writeVarintField(2, dataTypes[tensor.type]);
  pbf.writeStringField(8, tensor.name);
  const { values } = tensor;
  const raw = tensor.type === 'float32' ? Float32Array.from(values) : BigInt64Array.from(values, BigInt);
  pbf.writeBytesField(9, new Uint8Array(raw.buffer));
}

function writeDimension(dimension: number | string, pbf: PbfWriter): void {
  if (typeof dimension === 'number') pbf.writeVarintField(1, dimension);
  else pbf.writeStringField(2, dimension);
}

function writeTensorType(value: ValueInfo, pbf: PbfWriter): void {
  pbf.writeVarintField(1, dataTypes[value.type]);
  pbf.writeMessage(
    2,
    (dims: ValueInfo['dims'], shape: PbfWriter) => {
      for (const dimension of dims) shape.writeMessage(1, writeDimension, dimension);
    },
    value.dims,
  );
}

type Described<Item> = readonly [item: Item, description: ModelDescription | undefined];

function writeValueInfo([value, description]: Described<ValueInfo>, pbf: PbfWriter): void {
  pbf.writeStringField(1, value.name);
  pbf.writeMessage(2, (info: ValueInfo, type: PbfWriter) => type.writeMessage(1, writeTensorType, info), value);
  const text = description?.values[value.name];
  if (text !== undefined) pbf.writeStringField(3, text);
}

function writeGraph([graph, description]: Described<Graph>, pbf: PbfWriter): void {
  for (const node of graph.nodes) pbf.writeMessage(1, writeNode, node);
  pbf.writeStringField(2, graph.name);
  for (const constant of graph.constants) pbf.writeMessage(5, writeTensor, constant);
  if (description) pbf.writeStringField(10, description.text);
  for (const input of graph.inputs) pbf.writeMessage(11, writeValueInfo, [input, description]);
  for (const output of graph.outputs) pbf.writeMessage(12, writeValueInfo, [output, description]);
}

function writeMetadata([key, value]: readonly [string, string], pbf: PbfWriter): void {
  pbf.writeStringField(1, key);
  pbf.writeStringField(2, value);
}

function writeOpset([domain, version]: readonly [string, number], pbf: PbfWriter): void {
  pbf.writeStringField(1, domain);
  pbf.writeVarintField(2, version);
}

/** Encodes a graph as the bytes of an ONNX model. */
export function encodeModel(graph: Graph, description?: ModelDescription): Uint8Array {
  const pbf = new PbfWriter();
  pbf.writeVarintField(1, IR_VERSION);
  pbf.writeStringField(2, 'lockstep');
  if (description) {
    pbf.writeStringField(3, description.producerVersion);
    pbf.writeStringField(6, description.text);
  }
  pbf.writeMessage(7, writeGraph, [graph, description]);
  pbf.writeMessage(8, writeOpset, ['', OPSET_VERSION]);
  const domains = new Set(graph.nodes.flatMap(({ domain }) => domain ?? []));
  for (const domain of domains) pbf.writeMessage(8, writeOpset, [domain, 1]);
  for (const entry of Object.entries(description?.metadata ?? {})) pbf.writeMessage(14, writeMetadata, entry);
  return pbf.finish();
}
