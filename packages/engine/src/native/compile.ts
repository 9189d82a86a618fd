/** Compiles a network into machine code: once for its parameters, then for each batch size. */
import { type LayerNode, type Network, numElements } from '../topology/network.ts';
import type { Isa } from './assembler.ts';
import { addBuffers, scalePixels } from './elementwise.ts';
import { isGroupable, layerOf, rectifying } from './layers.ts';
import { Code, Memory } from './machine.ts';
import { copyTensor, isDense, ParameterMemory, roomOf, type Shape3 } from './parameters.ts';
import { isTiling } from './pooling.ts';
import { Arena, type Buffer, Program, padded } from './program.ts';
import { type Arrangement, type Forward, type Layer, passing, type Run, sampleRoom } from './rule.ts';

/** Micro-batches whose gradients are added up in registers. */
const MAX_GROUP = 8;

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

interface PlacedLayer {
  readonly node: LayerNode;
  readonly layer: Layer;
}

/** A tensor that is worked out in the program's own memory, filled up, for a place in the sum vector. */
interface Produced {
  readonly target: Buffer;
  readonly shape: Shape3;
  readonly buffer: Buffer;
}

/** Dropout factors that a run reads. */
export interface Mask {
  readonly index: number;
  readonly rate: number;
  readonly arrangement: Arrangement;
  readonly factors: Float32Array;
}

/** The code for one batch size, and the memory that it works with. */
export interface Compiled {
  /** Of all micro-batches. */
  readonly count: number;
  /** [count, height, width, channels] */
  readonly images: Uint8Array;
  /** [count, room] */
  readonly logits: Float32Array;
  readonly logitsRoom: number;
  /** In the same arrangement, of the summed loss. */
  readonly gradient: Float32Array;
  readonly masks: readonly Mask[];
  readonly memory: Memory;
  readonly forward: Code;
  /** Undefined for inference. */
  readonly backward: Code | undefined;
}

export class CompiledNetwork {
  readonly parameters: ParameterMemory;
  readonly #network: Network;
  readonly #isa: Isa;
  readonly #layers: readonly PlacedLayer[];
  /** Nodes that something trainable leads to. */
  readonly #trainable: ReadonlySet<string>;

  /** @throws LockstepError `engine-unavailable` for a network with layers that it cannot compute */
  constructor(network: Network, isa: Isa) {
    this.#network = network;
    this.#isa = isa;
    this.parameters = new ParameterMemory(network.layout, isa);
    this.#trainable = findTrainable(network);
    this.#layers = this.#placeLayers();
    this.parameters.finish();
  }

  /** The most micro-batches that are worth being computed together, a power of two. */
  get maxGroup(): number {
    return this.#network.nodes.every(isGroupable) ? MAX_GROUP : 1;
  }

  /** @param counts samples of each micro-batch, a power of two of them, up to `maxGroup` */
  compile(counts: readonly number[], training: boolean): Compiled {
    const count = counts.reduce((sum, samples) => sum + samples, 0);
    const { inputShape, nodes, logits } = this.#network;
    const arena = new Arena();
    const p = new Program(this.#isa, arena);
    const pixels = padded(count * numElements(inputShape));
    // Whole vectors are read; the bytes behind the last picture stay zero.
    const bytes = p.buffer(pixels / FLOAT_BYTES);
    const picture = p.buffer(pixels);
    const produced: Produced[] = [];
    const masks: { readonly index: number; readonly arrangement: Arrangement; readonly buffer: Buffer }[] = [];
    const run: Run = {
      p,
      count,
      counts,
      training,
      produce: (name, shape) => {
        // Where nothing is filled up, results go straight to the caller.
        const target = this.parameters.inCaller(name);
        if (isDense(shape)) return target;
        const buffer = p.buffer(roomOf(shape));
        produced.push({ target, shape, buffer });
        return buffer;
      },
      mask: (index, arrangement) => {
        const buffer = p.buffer(count * sampleRoom(arrangement));
        masks.push({ index, arrangement, buffer });
        return buffer;
      },
    };

    scalePixels(p, pixels, picture, bytes);
    const outputs = new Map<string, Buffer>([[nodes[0]!.id, picture]]);
    const written: { readonly node: LayerNode; readonly forward: Forward }[] = [];
    for (const { node, layer } of this.#layers) {
      const forward = layer.forward(
        run,
        node.inputs.map((id) => outputs.get(id)!),
      );
      outputs.set(node.id, forward.output);
      written.push({ node, forward });
    }
    const arrangement = this.#arrangementOf(logits);
    const logitsBuffer = outputs.get(logits)!;
    const gradientBuffer = p.buffer(count * sampleRoom(arrangement));
    const forwardCode = p.finish();
    const backwardCode = training ? this.#writeBackward(run, written, gradientBuffer, produced) : undefined;

    const memory = new Memory(arena);
    const floats = (buffer: Buffer, length: number): Float32Array => memory.floats(buffer.offset, length);
    return {
      count,
      images: memory.bytes(bytes.offset, count * numElements(inputShape)),
      logits: floats(logitsBuffer, count * sampleRoom(arrangement)),
      logitsRoom: arrangement.room,
      gradient: floats(gradientBuffer, count * sampleRoom(arrangement)),
      masks: masks.map(({ buffer, ...mask }) => ({
        ...mask,
        rate: this.#network.dropouts[mask.index]!.rate,
        factors: floats(buffer, count * sampleRoom(mask.arrangement)),
      })),
      memory,
      forward: new Code(forwardCode),
      backward: backwardCode && new Code(backwardCode),
    };
  }

  #placeLayers(): PlacedLayer[] {
    const { nodes, inputShape } = this.#network;
    const consumers = new Map<string, LayerNode[]>();
    for (const node of nodes) for (const id of node.inputs) consumers.set(id, [...(consumers.get(id) ?? []), node]);
    /** The node that reads a node, if there is just one. */
    const only = ({ id }: LayerNode): LayerNode | undefined => {
      const [next, ...others] = consumers.get(id) ?? [];
      return others.length === 0 ? next : undefined;
    };
    const [height, width, channels] = inputShape;
    const arrangements = new Map<string, Arrangement>([
      [nodes[0]!.id, { positions: height * width, outer: 1, channels, room: channels }],
    ]);
    const shapes = new Map(nodes.map(({ id, shape }) => [id, shape]));
    /** Those that the layer before them does. */
    const merged = new Set<string>();
    return nodes.slice(1).map((node) => {
      const inputs = node.inputs.map((id) => arrangements.get(id)!);
      const next = only(node);
      const isRelu = next?.kind === 'activation' && next.activation === 'relu';
      const relu = isRelu && rectifying.has(node.kind);
      // A ReLU between convolution and pooling can as well come behind both: there are fewer pixels.
      const last = isRelu ? only(next) : next;
      const pool = node.kind === 'conv2d' && last?.kind === 'maxPool' && isTiling(last.window) ? last : undefined;
      if (relu) merged.add(next.id);
      if (pool) merged.add(pool.id);
      const place = {
        parameters: this.parameters,
        inputs,
        inputShapes: node.inputs.map((id) => shapes.get(id)!),
        relu,
        pooling: pool,
        wanted: node.inputs.map((id) => this.#trainable.has(id)),
      };
      const layer = merged.has(node.id) ? passing(inputs[0]!) : layerOf(node, place);
      arrangements.set(node.id, layer.arrangement);
      return { node, layer };
    });
  }

  #arrangementOf(id: string): Arrangement {
    return this.#layers.find(({ node }) => node.id === id)!.layer.arrangement;
  }

  /** From the loss back, layer by layer. @param produced what layers add to, while they write */
  #writeBackward(
    run: Run,
    layers: readonly { readonly node: LayerNode; readonly forward: Forward }[],
    lossGradient: Buffer,
    produced: readonly Produced[],
  ): Uint8Array {
    const { p } = run;
    const gradients = new Map<string, Buffer[]>([[this.#network.logits, [lossGradient]]]);
    // Layers with nothing to compute hand on what they are given: several may have one output, or one gradient.
    const outputs = layers.map(({ forward }) => forward.output);
    for (const { node, forward } of layers.toReversed()) {
      outputs.pop();
      this.#writeGradient(run, node, forward, gradients);
      // Whoever reads it has been there before.
      if (!outputs.includes(forward.output)) p.giveBack(forward.output);
    }
    for (const { target, shape, buffer } of produced) copyTensor(p, shape, target, buffer, 'out');
    return p.finish();
  }

  /** Of one layer. @param gradients of nodes' outputs, in parts where several read them */
  #writeGradient({ p, count }: Run, node: LayerNode, forward: Forward, gradients: Map<string, Buffer[]>): void {
    const parts = gradients.get(node.id);
    // Behind the logits there is at most a softmax, which belongs to the loss.
    if (!parts || !this.#trainable.has(node.id)) return;
    let gradient = parts[0]!;
    if (parts.length > 1) {
      const floats = count * sampleRoom(this.#arrangementOf(node.id));
      gradient = p.borrow(floats);
      addBuffers(p, floats, gradient, parts);
    }
    forward.backward(gradient).forEach((part, i) => {
      const id = node.inputs[i]!;
      if (part && this.#trainable.has(id)) gradients.set(id, [...(gradients.get(id) ?? []), part]);
    });
    gradients.delete(node.id);
    const inUse = new Set([...gradients.values()].flat());
    p.giveBack(...[gradient, ...parts].filter((buffer) => !inUse.has(buffer)));
  }
}

/** Nodes with parameters, and all behind them. */
function findTrainable({ nodes }: Network): Set<string> {
  const trainable = new Set<string>();
  for (const node of nodes) {
    const own = node.kind === 'dense' || node.kind === 'conv2d' || node.kind === 'batchNorm';
    if (own || node.inputs.some((id) => trainable.has(id))) trainable.add(node.id);
  }
  return trainable;
}
