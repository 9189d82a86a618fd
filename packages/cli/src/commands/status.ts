/** `lockstep status`: how a run stands, from anywhere. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError } from '@lockstep/core';
import { joinOptions, readStatus } from '@lockstep/worker';
import type { Command } from 'commander';
import { addOptions, checkOptions } from '../options.ts';
import { Output } from '../output.ts';
import { interruptible } from '../signals.ts';
import { tokenFrom } from '../token.ts';
import { runView } from '../view.ts';

const flags = joinOptions.pick({ token: true, tlsCa: true, tlsFingerprint: true });
const WATCH_INTERVAL_MS = 1_000;
const PLAIN_WIDTH = 160;

export function statusCommand(program: Command): void {
  const command = program
    .command('status')
    .description('Show how a run stands: progress, workers, curves.')
    .argument('[url]', 'address of the coordinator, as it shows it', 'ws://127.0.0.1:7070')
    .option('--watch', 'go on until the run is over')
    .option('--json', 'write the whole status as one JSON object a line');
  addOptions(command, flags).action(async (url: string, { json, watch, ...given }) => {
    const token = tokenFrom(given.token);
    const options = { tlsCa: undefined, tlsFingerprint: undefined, ...checkOptions(flags, { ...given, token }) };
    const output = new Output(json ?? false);
    const signal = interruptible(output, 'Leaving the run alone');
    for (;;) {
      const status = await readStatus({ ...options, url, token }, signal);
      output.event(status);
      const view = runView(status, process.stdout.columns ?? PLAIN_WIDTH);
      const isOver = status.state === 'finished' || status.state === 'failed' || status.state === 'stopped';
      if (!watch || isOver) {
        output.endProgress();
        if (!json) for (const line of view) output.line(line);
        return;
      }
      if (!json) output.progress(view.join('\n'));
      await sleep(WATCH_INTERVAL_MS, undefined, { signal }).catch((error: unknown) => {
        throw new LockstepError('interrupted', 'Interrupted; the run goes on.', 'Ask again at any time.', {
          cause: error,
        });
      });
    }
  });
}
