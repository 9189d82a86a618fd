// probe

import { initializeParameters } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { createOnnxEngine } from '../onnx/engine.ts';
import { distance, norm } from '../testing/differences.ts';
import { randomParameters, randomSamples } from '../testing/inputs.ts';
import { PlainModel } from '../testing/plain-model.ts';
import { parseTopology } from '../topology/parse.ts';
import { zoo, zooNames } from './recipes.ts';

for (const name of zooNames) {
  it(name, async () => {
    const json = JSON.parse(JSON.stringify(zoo[name].topology), (k, v) => (k === 'rate' ? 0 : v));
    const network = parseTopology(json);
    const plain = await PlainModel.load(network);
    const engine = await createOnnxEngine({ network, labelSmoothing: 0 });
    for (let seed = 1; seed < 6; seed++) {
      for (const init of ['jitter', 'plain'] as const) {
        const flat = randomParameters(network, seed);
        if (init === 'plain') initializeParameters(network.layout, seed, flat);
        plain.setParameters(flat);
        engine.setParameters(flat);
        const samples = randomSamples(network, 2, seed);
        const sums = new Float32Array(network.layout.sumLength);
        await engine.gradient([{ samples, key: { seed: 1, step: 0, shard: 0 } }], sums);
        const t = Date.now();
        const g = plain.meanGradient(samples);
        const ms = Date.now() - t;
        const a = sums.subarray(0, network.layout.numWeights).map((v) => v / 2);
        console.log(
          name,
          init,
          seed,
          (distance(g, a) / norm(g)).toExponential(2),
          norm(g),
          ms,
          'ms',
          'loss',
          sums[network.layout.lossIndex],
        );
      }
    }
  });
}
