/** Rewrites a network into one that computes the same function and gradients faster in ONNX Runtime. */
import type { LayerNode } from '../topology/network.ts';

/**
 * Moves ReLU behind the max-pooling that follows it. Both are monotone, so the values are the same; the gradient goes to
 * the same position, since the pool's winner is the same wherever it is positive, and elsewhere ReLU stops it. The pool
 * passes on a fraction of the pixels, so ReLU and its gradient then touch that much less.
 */
export function reluAfterPool(nodes: readonly LayerNode[]): LayerNode[] {
  const readers = new Map<string, number>();
  for (const node of nodes) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  const result = [...nodes];
  result.forEach((pool, i) => {
    const relu = result[i - 1];
    if (pool.kind !== 'maxPool' || relu?.kind !== 'activation' || relu.activation !== 'relu') return;
    if (pool.inputs[0] !== relu.id || readers.get(relu.id) !== 1) return;
    // Each takes the other's place and id, so that later layers read on from the same id.
    result[i - 1] = { ...pool, id: relu.id, inputs: relu.inputs };
    result[i] = { ...relu, id: pool.id, inputs: [relu.id], shape: pool.shape };
  });
  return result;
}
