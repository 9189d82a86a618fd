/** What an attacker learns about a run by joining it properly: as much as any worker. */
import { ShardPlan } from '@lockstep/core';
import { parseTopology, selfTestSketch } from '@lockstep/engine';
import { encodeFrame, type JobText, layoutHash, parseJob } from '@lockstep/protocol';
import { hello } from './frames.ts';
import { RawClient, wsFrame } from './raw-client.ts';

/** A picture and its label. */
const SAMPLE_BYTES = 28 * 28 + 1;
/** Of a message, beside the sums in it. */
const HEADER_BYTES = 64 * 1024;

export interface Target {
  readonly port: number;
  readonly job: JobText;
  readonly layoutHash: string;
  readonly numShards: number;
  /** SHA-256 of the partitions, and how long each is. */
  readonly partitions: readonly string[];
  readonly partitionBytes: number;
  /** By which a worker shows that its engine is right. */
  readonly sketch: readonly number[];
  /** Elements of a sum vector. */
  readonly sumLength: number;
  readonly numWeights: number;
  /** Entries of an answer, where only a part of the sums is sent. */
  readonly numEntries: number | undefined;
  /** Longest WebSocket message that the coordinator takes. */
  readonly maxMessageBytes: number;
}

export async function spy(port: number): Promise<Target> {
  const client = await RawClient.join(port, wsFrame(encodeFrame(hello())));
  let job: JobText | undefined;
  client.onMessage = ({ message }) => {
    if (message.type === 'welcome') job = { text: message.job, hash: message.jobHash };
  };
  await client.until(() => job !== undefined);
  await client.leave();
  const { topology, numSamples, numShards, batchSize, partitions, labelSmoothing, topk, seed } = parseJob(job!);
  const network = parseTopology(topology);
  const { parameters, sumLength, numWeights } = network.layout;
  const sketch = await selfTestSketch({ network, labelSmoothing }, seed);
  const maxNodes = 2 * Math.log2(numShards);
  return {
    port,
    job: job!,
    layoutHash: layoutHash(parameters),
    numShards,
    partitions,
    partitionBytes: new ShardPlan(numSamples, numShards, batchSize).shardSize(0) * SAMPLE_BYTES,
    sketch,
    sumLength,
    numWeights,
    numEntries: topk,
    maxMessageBytes: HEADER_BYTES + maxNodes * sumLength * Float32Array.BYTES_PER_ELEMENT,
  };
}
