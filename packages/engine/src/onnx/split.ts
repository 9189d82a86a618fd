/** The graph that takes flat parameters apart on a GPU, so that they get there in one piece. */
import type { Network } from '../topology/network.ts';
import type { Binding } from './compiled.ts';
import { GraphBuilder } from './graph.ts';
import { encodeModel } from './proto.ts';

/** Name of its input, [numParameters]. */
export const FLAT = 'flat';

/** @param parameters what to put out, under their names */
export function compileSplit({ layout, name }: Network, parameters: readonly Binding[]): Uint8Array {
  const g = new GraphBuilder();
  const flat = g.input(FLAT, 'float32', [layout.numParameters]);
  for (const { name: parameter, part, dims } of parameters) {
    const piece = g.slice(flat, [0], [part.offset], [part.offset + part.size], [1]);
    g.output(parameter, g.reshape(piece, dims), 'float32', dims);
  }
  return encodeModel(g.finish(name));
}
