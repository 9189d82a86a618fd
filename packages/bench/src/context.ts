/** What a caller may bring along, and what every report begins with. */
import type { DownloadProgress } from '@lockstep/dataset';
import { describeMachine, observeLoad } from './machine.ts';
import { FORMAT, type Header, type Load, type Machine } from './report.ts';
import { throwIfInterrupted } from './within.ts';

export interface BenchContext {
  /** Ends the benchmark; nothing was written then. */
  readonly signal?: AbortSignal;
  /** As the user typed it, without secrets; stands in the report. */
  readonly command?: string;
  /** Environment variables; `process.env` when absent. */
  readonly env?: NodeJS.ProcessEnv;
  /** Called with the command that joins from elsewhere. It may hold a token: to be shown, not to be kept. */
  readonly onInvitation?: (command: string) => void;
  /** Called while workers are awaited. */
  readonly onWaiting?: (ready: number, needed: number) => void;
  /** Called while the dataset is being downloaded. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

interface Beginning {
  readonly found: { readonly machine: Machine; readonly load: Load };
  /** To be asked for at the end. */
  header(): Header;
}

/** Looks at the machine before anything runs on it. */
export async function begin(
  { signal, command }: BenchContext,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Beginning> {
  const startedAt = new Date();
  const found = { machine: describeMachine(), load: await observeLoad() };
  throwIfInterrupted(signal);
  return {
    found,
    header: () => ({
      format: FORMAT,
      startedAt: startedAt.toISOString(),
      seconds: (Date.now() - startedAt.getTime()) / 1000,
      command: command ?? 'from code',
      ...found,
      rounds,
      blockSeconds: seconds,
    }),
  };
}
