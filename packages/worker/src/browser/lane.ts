/**
 * A lane: a Web Worker that does nothing but compute, with an engine of its own. Its thread is busy inside WebAssembly most
 * of the time, so the coordinator is heard on another one.
 */
import { augment, LockstepError } from '@lockstep/core';
import {
  createWebEngine,
  type Engine,
  type MicroBatch,
  type Network,
  parseTopology,
  sketchGradient,
} from '@lockstep/engine/browser';
import { SubtreeSummer } from '../subtree.ts';
import type { FromLane, GradientTask, LaneEngine, LaneSetup, ShardBatch, ToLane } from './lane-messages.ts';

/** The other side of a Web Worker, as itself sees it. */
export interface LaneScope {
  postMessage(message: FromLane, transfer?: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToLane>) => void): void;
}

/** Makes this Web Worker a lane. */
export function serveLane(scope: LaneScope): void {
  let lane: Promise<Lane> | undefined;
  const answer = async (work: () => Promise<[FromLane, Transferable[]?]>): Promise<void> => {
    try {
      scope.postMessage(...(await work()));
    } catch (error) {
      const nextStep = error instanceof LockstepError ? error.nextStep : 'Load the page again.';
      scope.postMessage({ kind: 'failed', message: (error as Error).message, nextStep });
    }
  };
  scope.addEventListener('message', ({ data }) => {
    switch (data.kind) {
      case 'open':
        lane = Lane.open(data.setup);
        void answer(async () => [{ kind: 'opened', engine: (await lane!).description }]);
        break;
      case 'parameters':
        void lane?.then((opened) => opened.parameters(data.values));
        break;
      case 'gradient':
        void answer(async () => {
          const sums = await (await lane!).gradient(data.task);
          return sums ? [{ kind: 'sums', sums }, sums.map(({ buffer }) => buffer)] : [{ kind: 'cancelled' }];
        });
        break;
      case 'cancel':
        void lane?.then((opened) => opened.cancel());
        break;
      default:
        data satisfies never;
    }
  });
}

class Lane {
  readonly description: LaneEngine;
  readonly #setup: LaneSetup;
  readonly #network: Network;
  readonly #engine: Engine;
  /** By the number of shards that one call of the engine takes. */
  readonly #summers = new Map<number, SubtreeSummer>();
  readonly #pause = new Pause();
  #isCancelled = false;

  static async open(setup: LaneSetup): Promise<Lane> {
    const network = parseTopology(setup.topology);
    const { engine, reason } = await createWebEngine({ network, labelSmoothing: setup.labelSmoothing }, setup.device);
    const sketch = await sketchGradient(engine, network, setup.seed);
    return new Lane(setup, network, engine, { kind: engine.kind, device: engine.device, reason, sketch });
  }

  private constructor(setup: LaneSetup, network: Network, engine: Engine, description: LaneEngine) {
    this.description = description;
    this.#setup = setup;
    this.#network = network;
    this.#engine = engine;
  }

  parameters(values: Float32Array): void {
    this.#engine.setParameters(values);
  }

  cancel(): void {
    this.#isCancelled = true;
  }

  /** @returns a sum vector per node, or undefined when it was cancelled */
  async gradient(task: GradientTask): Promise<Float32Array<ArrayBuffer>[] | undefined> {
    const { nodes, batches, rounding, epoch, runStep } = task;
    this.#isCancelled = false;
    const ofShard = new Map(batches.map((batch) => [batch.shard, batch]));
    const { reduction, numShards } = this.#setup;
    const summer = this.#summer(reduction === 'fast' ? numShards : rounding ? 1 : this.#engine.maxGroup);
    const results: Float32Array<ArrayBuffer>[] = [];
    for (const node of nodes) {
      const result = new Float32Array(this.#network.layout.sumLength);
      try {
        await summer.sum(
          node,
          async ({ from, to }, sums) => {
            await this.#pause.take();
            if (this.#isCancelled) throw new Cancelled();
            const shards = Array.from({ length: to - from }, (_, i) => ofShard.get(from + i)!);
            const batches = reduction === 'fast' ? [joined(shards)] : shards;
            const group = batches.map((batch) => this.#microBatch(batch, epoch, runStep));
            await this.#engine.gradient(group, sums);
          },
          (block, start, length) => result.set(summer.values.subarray(block / 4, block / 4 + length), start),
          rounding,
        );
      } catch (error) {
        if (error instanceof Cancelled) return undefined;
        throw error;
      }
      results.push(result);
    }
    return results;
  }

  #summer(maxGroup: number): SubtreeSummer {
    let summer = this.#summers.get(maxGroup);
    if (!summer) {
      summer = new SubtreeSummer(this.#setup.numShards, this.#network.layout.sumLength, maxGroup);
      this.#summers.set(maxGroup, summer);
    }
    return summer;
  }

  /** Changes the pictures of a shard as the job says, in place: they came for this call alone. */
  #microBatch({ shard, indices, images, labels }: ShardBatch, epoch: number, runStep: number): MicroBatch {
    const { augmentation, seed } = this.#setup;
    if (augmentation) augment(images, this.#network.inputShape, indices, augmentation, seed, epoch);
    return { samples: { count: indices.length, images, labels }, key: { seed, step: runStep, shard } };
  }
}

/** The samples of several shards as one batch, which counts as the first one's. */
function joined(batches: readonly ShardBatch[]): ShardBatch {
  const [first] = batches as [ShardBatch, ...ShardBatch[]];
  if (batches.length === 1) return first;
  const all = <Part extends Uint8Array | Uint32Array>(into: Part, partOf: (batch: ShardBatch) => Part): Part => {
    let at = 0;
    for (const batch of batches) {
      into.set(partOf(batch), at);
      at += partOf(batch).length;
    }
    return into;
  };
  const lengthOf = (name: 'indices' | 'images' | 'labels'): number =>
    batches.reduce((sum, batch) => sum + batch[name].length, 0);
  return {
    shard: first.shard,
    indices: all(new Uint32Array(lengthOf('indices')), ({ indices }) => indices),
    images: all(new Uint8Array(lengthOf('images')), ({ images }) => images),
    labels: all(new Uint8Array(lengthOf('labels')), ({ labels }) => labels),
  };
}

class Cancelled extends Error {}

/** Lets messages in that came while the thread was busy. A timer would wait longer. */
class Pause {
  readonly #channel = new MessageChannel();

  take(): Promise<void> {
    const { port1, port2 } = this.#channel;
    return new Promise((resolve) => {
      port1.onmessage = () => resolve();
      port2.postMessage(undefined);
    });
  }
}
