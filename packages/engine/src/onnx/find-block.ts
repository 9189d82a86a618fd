/** Finds out whether ONNX Runtime's blocked convolutions can be had here: by trying. */
import './quiet.ts';
import type { InferenceSession } from 'onnxruntime-node';
import * as ort from 'onnxruntime-node';
import type { Window } from '../topology/network.ts';
import { type Block, blockedConvolution } from './blocked.ts';
import { GraphBuilder, type Value } from './graph.ts';
import { encodeModel } from './proto.ts';

const SIDE = 5;
const LEAST_CHANNELS = 4;
const TOLERANCE = 1e-4;
const window: Window = { size: [3, 3], strides: [1, 1], padding: { top: 1, bottom: 1, left: 1, right: 1 } };

async function run(
  feeds: InferenceSession.FeedsType,
  options: InferenceSession.SessionOptions,
  build: (g: GraphBuilder) => Value,
): Promise<ort.Tensor> {
  const g = new GraphBuilder();
  for (const [name, { dims }] of Object.entries(feeds)) g.input(name, 'float32', dims as readonly number[]);
  g.output('y', build(g), 'float32', ['a', 'b', 'c', 'd']);
  const session = await ort.InferenceSession.create(encodeModel(g.finish('probe')), options);
  const { y } = await session.run(feeds);
  await session.release();
  return y!;
}

const wave = (length: number, step: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(step * (i + 1)));

/** Tries the operators out. Returns the block of this processor, or undefined where they cannot be relied on. */
export async function findBlock(options: InferenceSession.SessionOptions): Promise<Block | undefined> {
  try {
    const pixels = SIDE * SIDE;
    // Channels are filled up to whole blocks.
    const few = {
      x: new ort.Tensor('float32', new Float32Array(LEAST_CHANNELS * pixels), [1, SIDE, SIDE, LEAST_CHANNELS]),
    };
    const { size } = await run(few, options, (g) => g.blockedOp('ReorderInput', ['x'], { channels_last: 1 }));
    const block = size / pixels;
    const [channels, filters] = [block, 2 * block];
    const feeds = {
      x: new ort.Tensor('float32', wave(channels * pixels, 0.7), [1, SIDE, SIDE, channels]),
      kernel: new ort.Tensor('float32', wave(9 * channels * filters, 0.3), [9, channels, filters]),
      bias: new ort.Tensor('float32', wave(filters, 1.1), [filters]),
    };
    const blocked = await run(feeds, options, (g) => {
      const parts = { block, kernel: 'kernel', bias: 'bias', window, channels, filters, shape: [SIDE, SIDE, filters] };
      return blockedConvolution(g, 'x', parts);
    });
    const plain = await run(feeds, options, (g) => {
      const kernel = g.reshape(g.op('Transpose', ['kernel'], { perm: [2, 1, 0] }), [filters, channels, 3, 3]);
      const planes = g.op('Transpose', ['x'], { perm: [0, 3, 1, 2] });
      const output = g.op('Conv', [planes, kernel, 'bias'], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
      return g.op('Transpose', [output], { perm: [0, 2, 3, 1] });
    });
    const [a, b] = [blocked.data as Float32Array, plain.data as Float32Array];
    return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) < TOLERANCE) ? block : undefined;
  } catch {
    return undefined;
  }
}
