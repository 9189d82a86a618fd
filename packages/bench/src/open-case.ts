/** Opens the run that measures a case: who computes, on what, and where they meet. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { isTopk, type LoadedModel, type TrainOptions, type WireSetting } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import type { ImageDataset } from '@lockstep/dataset';
import type { EngineKind } from '@lockstep/engine';
import type { Case } from './cases.ts';
import { startChild } from './children.ts';
import type { BenchContext } from './context.ts';
import type { Progress } from './events.ts';
import type { BenchConfig } from './options.ts';
import { type RunBlock, RunSubject } from './run-subject.ts';
import type { CaseBlock } from './series.ts';

/** Remote workers on this machine are there within seconds, or not at all. */
const LOOPBACK_JOIN_SECONDS = 120;
/** Engines open, workers fetch data, and the first epoch is trained. */
const OPENING_MS = 10 * 60_000;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '::1']);

/** A model, an engine, a batch and a format, which are measured with all numbers of workers in turns. */
export interface Setting {
  readonly model: LoadedModel;
  /** Name or path of the model, as it was given. */
  readonly given: string;
  readonly engine: EngineKind | 'auto';
  readonly batchSize: number;
  readonly wire: WireSetting;
}

/** What all subjects share. */
export interface Place {
  readonly config: BenchConfig;
  readonly context: BenchContext;
  readonly data: ImageDataset;
  /** For whatever is to disappear in the end. */
  readonly folder: string;
  readonly dataFolder: string;
  readonly token: string | undefined;
  /** On which workers from elsewhere join: the same for all models, so that they come back. */
  port: number | undefined;
  readonly progress: Progress;
}

/** Each model has a run of its own, and those who joined the first come back to the next by the same token. */
export function tokenFor({ joined, host, token }: BenchConfig): string | undefined {
  if (joined === undefined || token !== undefined || LOOPBACK.has(host)) return token;
  return randomBytes(24).toString('base64url');
}

/** A case with the run that measures it. */
export interface OpenCase {
  readonly what: Case;
  readonly name: string;
  readonly run: RunSubject;
  readonly epochsPerBlock: number;
  readonly before: RunBlock;
  readonly blocks: CaseBlock[];
}

/** Starts a run and warms it up. @param oneThreadRate of the engine by itself, in samples per second */
export async function openCase(
  what: Case,
  name: string,
  { given, engine, wire }: Setting,
  oneThreadRate: number,
  place: Place,
): Promise<OpenCase> {
  const { config, data, context, folder, dataFolder } = place;
  const { batchSize, shards } = what;
  const most = Math.floor(data.train.count / batchSize);
  if (most < 1) {
    throw new LockstepError(
      'usage',
      `A batch of ${batchSize} does not fit into the ${data.train.count} training samples of ${data.name}.`,
      'Use smaller --batch-sizes, fewer --workers, or --scaling strong.',
    );
  }
  // About one block for one worker, but in whole steps.
  const stepsPerEpoch = Math.min(most, Math.max(2, Math.round((oneThreadRate * config.seconds) / batchSize)));
  const run = await RunSubject.open({
    name,
    train: {
      model: given,
      dataset: 'fashion-mnist',
      dataDir: dataFolder,
      limitTrain: stepsPerEpoch * batchSize,
      batchSize,
      shards,
      engine,
      wire,
      ...(isTopk(wire) ? { reduction: 'fast' as const } : {}),
      runDir: await mkdtemp(join(folder, 'run-')),
      ...placeOptions(what, place),
    },
    numMembers: what.place === 'local' ? 1 : what.workers,
    startWorkers: what.place === 'remote' ? (url) => startRemote(what.workers, url, engine, folder) : undefined,
    firstDeadlineMs: OPENING_MS + (what.place === 'joined' ? config.joinTimeout * 1000 : 0),
    signal: context.signal,
    onInvitation: what.place === 'joined' ? (command) => invite(command, place) : undefined,
    onEvent: (event) => {
      if (what.place !== 'joined') return;
      if (event.event === 'listening') place.port = event.port;
      if (event.event === 'waiting') context.onWaiting?.(event.ready, event.needed);
    },
  });
  try {
    const before = await run.block(1);
    return {
      what,
      name,
      run,
      epochsPerBlock: Math.max(1, Math.round(config.seconds / before.seconds)),
      before,
      blocks: [],
    };
  } catch (error) {
    await run.close();
    throw error;
  }
}

/** Who computes, and where they meet. */
function placeOptions({ place: where, workers }: Case, { config, token, port }: Place): TrainOptions {
  switch (where) {
    case 'local':
      return { workers, port: 0 };
    case 'remote':
      return { workers: 0, minWorkers: workers, joinTimeout: LOOPBACK_JOIN_SECONDS, port: 0 };
    case 'joined': {
      const { host, joinTimeout } = config;
      const given = { ...(token === undefined ? {} : { token }), ...(port === undefined ? {} : { port }) };
      return { workers: 0, minWorkers: workers, joinTimeout, host, ...given };
    }
    default:
      return where satisfies never;
  }
}

const startRemote = (count: number, url: string, engine: string, folder: string): ChildProcess[] =>
  Array.from({ length: count }, () => startChild('remote-worker', [url, join(folder, 'cache'), engine]));

/** Hands the join command on, with the token if it was made here and nobody knows it. */
function invite(command: string, { config, context, token }: Place): void {
  const shown = token === config.token ? '' : ` --token ${token}`;
  context.onInvitation?.(`${command}${shown}`);
}
