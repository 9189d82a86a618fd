/** A network as the Python programs take it: what Lockstep made of the topology, so that nothing reads it a second time. */
import type { Parameter } from '@lockstep/core';
import type { Network } from '@lockstep/engine';

export interface NetworkDescription {
  /** [height, width, channels]. */
  readonly inputShape: Network['inputShape'];
  readonly numClasses: number;
  /** In an order in which every node comes after its inputs. Fields that are undefined are absent from the JSON. */
  readonly nodes: Network['nodes'];
  /** Id of the node whose output are the logits. */
  readonly logits: string;
  /** In the order of the flat vector, with initializers, decay and places. */
  readonly parameters: readonly Parameter[];
}

/** What `python/network.py` builds a PyTorch module of. It is plain data, to be written as JSON. */
export function describeNetwork({ inputShape, numClasses, nodes, logits, layout }: Network): NetworkDescription {
  return { inputShape, numClasses, nodes, logits, parameters: layout.parameters };
}
