/**
 * Lockstep's default engine as a subject of ../peers.js: gradients of micro-batches in memory, on one thread.
 *
 *   node lockstep-engine.js --model cnn [--batch 64] [--group 1]
 */
import { parseArgs } from 'node:util';
import { initializeParameters } from '@lockstep/core';
import { noiseSamples, parseTopology, zoo } from '@lockstep/engine';
import { openDefaultEngine } from '../default-engine.js';
import { serve } from './lines.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    batch: { type: 'string', default: '64' },
    /** Micro-batches per call; training hands over as many as the engine takes. */
    group: { type: 'string', default: '1' },
  },
});
const batch = Number(values.batch);
const network = parseTopology(zoo[values.model].topology);
const engine = await openDefaultEngine(network);
const { layout } = network;
const parameters = new Float32Array(layout.numParameters);
initializeParameters(layout, 0, parameters);
engine.setParameters(parameters);
const batches = Array.from({ length: Math.min(Number(values.group), engine.maxGroup) }, (_, shard) => ({
  samples: noiseSamples(network, batch),
  key: { seed: 0, step: 0, shard },
}));
const sums = new Float32Array(layout.sumLength);

/** Multiplications and additions of forward and backward for one sample; those of other layers do not count. */
function flopsPerSample() {
  const [input] = network.nodes;
  const sizeOf = new Map(layout.parameters.map((parameter) => [parameter.name, parameter.size]));
  let flops = 0;
  for (const node of network.nodes) {
    if (node.kind !== 'dense' && node.kind !== 'conv2d') continue;
    // A kernel is used once per output pixel.
    const pixels = node.kind === 'conv2d' ? node.shape[0] * node.shape[1] : 1;
    // Output, gradient of the kernel, gradient of the input: the picture needs none.
    const passes = readsPicture(node, input) ? 2 : 3;
    flops += 2 * passes * pixels * sizeOf.get(node.kernel);
  }
  return flops;
}

function readsPicture({ inputs }, picture) {
  const source = network.nodes.find(({ id }) => id === inputs[0]);
  return source === picture || (source.kind === 'reshape' && source.inputs[0] === picture.id);
}

await serve(
  { parameters: layout.numParameters, flopsPerSample: flopsPerSample(), group: batches.length },
  async ({ seconds }) => {
    const started = performance.now();
    let done = 0;
    for (;;) {
      await engine.gradient(batches, sums);
      done += batch * batches.length;
      const elapsed = (performance.now() - started) / 1000;
      if (elapsed >= seconds) return done / elapsed;
    }
  },
);
await engine.dispose();
