/** A real coordinator on loopback, with workers that send gradients and compute none. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { syntheticDataset } from '@lockstep/dataset';
import { nodesOf } from './aggregate-update.ts';
import { startChild } from './children.ts';
import { writeData } from './data.ts';
import { RunSubject } from './run-subject.ts';
import type { CaseBlock } from './series.ts';

const STEPS_PER_EPOCH = 10;
const NUM_TEST = 16;
const OPENING_MS = 2 * 60_000;
const JOIN_SECONDS = 60;

/** A run whose blocks can be asked for. */
export interface Traffic {
  /** Of the run's first block, in seconds. */
  readonly secondsPerEpoch: number;
  readonly before: CaseBlock;
  block(numEpochs: number): Promise<CaseBlock & { readonly stepMs: number }>;
  close(): Promise<void>;
}

/** @param folder for whatever is to disappear in the end */
export async function openTraffic(
  topology: unknown,
  workers: number,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Traffic> {
  const { numShards } = nodesOf(workers);
  const dataDir = join(folder, 'data');
  await mkdir(dataDir);
  // One sample for each shard and step.
  await writeData(syntheticDataset({ seed: 0, numTrain: numShards * STEPS_PER_EPOCH, numTest: NUM_TEST }), dataDir);
  const model = join(folder, 'model.json');
  await writeFile(model, JSON.stringify(topology));
  const run = await RunSubject.open({
    name: `${workers} synthetic workers`,
    train: {
      model,
      dataset: 'fashion-mnist',
      dataDir,
      batchSize: numShards,
      shards: numShards,
      optimizer: 'adam',
      workers: 0,
      minWorkers: workers,
      joinTimeout: JOIN_SECONDS,
      port: 0,
      runDir: join(folder, 'run'),
    },
    numMembers: workers,
    startWorkers: (url) => [startChild('synthetic-workers', [url, String(workers)])],
    firstDeadlineMs: OPENING_MS,
    signal,
    onInvitation: undefined,
    onEvent: undefined,
  });
  const block = async (numEpochs: number): Promise<CaseBlock & { readonly stepMs: number }> => {
    const { rate, seconds, steps, status } = await run.block(numEpochs);
    return { rate, steps, stepMs: (seconds / steps) * 1000, phases: status.phases, members: status.members };
  };
  try {
    const before = await block(1);
    return {
      before,
      secondsPerEpoch: (before.stepMs * before.steps) / 1000,
      block,
      close: () => run.close(),
    };
  } catch (error) {
    await run.close();
    throw error;
  }
}
