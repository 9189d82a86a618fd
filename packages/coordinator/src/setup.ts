/** What training and evaluation both need before they start: data, cut to size, and a description of it. */
import { type DownloadProgress, type ImageDataset, loadDataset, type Split } from '@lockstep/dataset';
import type { DatasetEvent, RunStatus } from '@lockstep/protocol';

/** What a caller of this package may bring along. */
export interface RunContext {
  /** Stops the run at the next step; what is computed so far is saved. */
  readonly signal?: AbortSignal;
  /** Called with the command that joins the run from elsewhere. It may hold a token: to be shown, not to be kept. */
  readonly onInvitation?: (command: string) => void;
  /** Called while the dataset is being downloaded. */
  readonly onDownload?: (progress: DownloadProgress) => void;
  /** Called at the start with a way to ask how the run stands. */
  readonly onStart?: (status: () => RunStatus) => void;
  /** Folder of the built live page, to be served at `/`. */
  readonly pages?: string;
  /** Environment variables; `process.env` when absent. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface DataSelection {
  readonly dataset: 'auto' | 'fashion-mnist' | 'synthetic';
  readonly dataDir?: string | undefined;
  readonly limitTrain?: number | undefined;
  readonly limitTest?: number | undefined;
}

function limit(split: Split, count: number | undefined): Split {
  return count === undefined || count >= split.count ? split : { ...split, count };
}

/** Loads the dataset and cuts its splits to the first samples that are asked for. */
export async function loadData(selection: DataSelection, context: RunContext): Promise<ImageDataset> {
  const dataset = await loadDataset({
    dataset: selection.dataset,
    dataDir: selection.dataDir,
    env: context.env ?? process.env,
    onProgress: context.onDownload,
    signal: context.signal,
  });
  return {
    ...dataset,
    train: limit(dataset.train, selection.limitTrain),
    test: limit(dataset.test, selection.limitTest),
  };
}

export function describeData(dataset: ImageDataset): DatasetEvent {
  return {
    event: 'dataset',
    name: dataset.name,
    source: dataset.source,
    reason: dataset.reason,
    notice: dataset.notice,
    sha256: dataset.sha256,
    trainSamples: dataset.train.count,
    testSamples: dataset.test.count,
  };
}
