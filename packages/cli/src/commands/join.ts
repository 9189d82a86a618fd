/** `lockstep join`: work for a coordinator on another machine until its run is over. */
import { hostname } from 'node:os';
import { cacheRoot } from '@lockstep/dataset';
import { join, joinOptions } from '@lockstep/worker';
import type { Command } from 'commander';
import { z } from 'zod';
import { addOptions, checkOptions, flagOf, JSON_LINES } from '../options.ts';
import { Output } from '../output.ts';
import { interruptible } from '../signals.ts';
import { tokenFrom } from '../token.ts';
import { joinEach, workersFor } from './join-devices.ts';
import { JoinDisplay } from './join-display.ts';

/** The URL is an argument, and the cache is where the environment says. */
const flags = joinOptions.omit({ url: true, cacheDir: true }).extend({
  devices: z
    .string()
    .min(1)
    .optional()
    .describe('a worker process of its own for each of these devices, separated by commas; all: for every NVIDIA GPU')
    .meta({ placeholder: 'list' }),
});
/** What each process is told in its own way. */
const SAID_APART: readonly string[] = ['devices', 'device', 'name', 'token'];

export function joinCommand(program: Command): void {
  const command = program
    .command('join')
    .description('Join a run as a worker: compute gradients for a coordinator, and dial again whenever it is lost.')
    .argument('<url>', 'address of the coordinator, as it shows it: ws://host:7070, or wss:// with TLS')
    .option(...JSON_LINES)
    .addHelpText(
      'after',
      '\nThe token is also read from LOCKSTEP_TOKEN, which lists of processes do not show. Ctrl-C leaves the run.',
    );
  addOptions(command, flags).action(async (url: string, { json, ...given }: { json?: boolean; token?: string }) => {
    const token = tokenFrom(given.token);
    const output = new Output(json ?? false);
    const { devices, ...checked } = checkOptions(flags, { ...given, token });
    if (devices !== undefined) {
      const words = Object.entries(checked).flatMap(([name, value]) =>
        value === undefined || SAID_APART.includes(name) ? [] : [flagOf(name), String(value)],
      );
      const env = token === undefined ? process.env : { ...process.env, LOCKSTEP_TOKEN: token };
      const workers = await workersFor(devices, env);
      const name = checked.name ?? hostname();
      await joinEach(workers, [url, ...(json ? ['--json'] : []), ...words], name, output, json ?? false);
      return;
    }
    const options = { ...checked, url, cacheDir: await cacheRoot(process.env) };
    const display = new JoinDisplay(output);
    try {
      for await (const event of join(options, { signal: interruptible(output, 'Leaving the run') })) {
        display.event(event);
        output.event(event);
      }
    } finally {
      display.end();
    }
  });
}
