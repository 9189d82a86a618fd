/** The job as a coordinator describes it: checked, and with what follows from it. */
import { LockstepError, ShardPlan } from '@lockstep/core';
import { type Network, numElements, parseTopology } from '@lockstep/engine';
import { type JobDescription, type JobText, layoutHash, parseJob } from '@lockstep/protocol';

export interface RemoteJob extends JobDescription {
  readonly hash: string;
  readonly network: Network;
  readonly plan: ShardPlan;
  readonly layoutHash: string;
}

/** @throws LockstepError when this version cannot do the job */
export function readJob(text: JobText): RemoteJob {
  const description = parse(text);
  const { topology, topk, numSamples, numShards, batchSize } = description;
  const network = parseTopology(topology);
  if (topk !== undefined && topk > network.layout.numWeights)
    throw notUnderstood('topk is more than there are weights');
  const plan = new ShardPlan(numSamples, numShards, batchSize);
  return { ...description, hash: text.hash, network, plan, layoutHash: layoutHash(network.layout.parameters) };
}

function parse(text: JobText): JobDescription {
  try {
    return parseJob(text);
  } catch (error) {
    throw notUnderstood((error as Error).message, error);
  }
}

const notUnderstood = (reason: string, cause?: unknown): LockstepError =>
  new LockstepError(
    'coordinator-refused',
    `The coordinator sent a job that this worker does not understand: ${reason}`,
    'Install the same version of Lockstep on both machines.',
    { cause },
  );

/** Bytes of a shard's partition: its pictures, then its labels. */
export const partitionBytes = ({ plan, network }: RemoteJob, shard: number): number =>
  plan.shardSize(shard) * (numElements(network.inputShape) + 1);

/** Samples of the shards [from, to) at a step of an epoch. */
export function countSamples({ plan }: RemoteJob, step: number, from: number, to: number): number {
  let count = 0;
  for (let shard = from; shard < to; shard++) {
    const batch = plan.microBatch(shard, step);
    count += batch.to - batch.from;
  }
  return count;
}
