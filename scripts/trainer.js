/** A run that scripts let train block by block, with local threads or with workers in processes of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { train } from '@lockstep/coordinator';

/** Of blocks that take a second or more: what is cold after the other subjects should not count. */
export const samplesPerEpoch = { mlp: 60_000, cnn: 30_720, resnet: 12_288 };
export const epochsPerBlock = { mlp: 4, cnn: 1, resnet: 1 };

const COMMAND = fileURLToPath(new URL('../packages/cli/bin/lockstep.js', import.meta.url));

/**
 * @param options.folder for run folders and the workers' cache
 * @param options.name of the run's folder
 * @param options.local threads here
 * @param options.remote workers with one thread that dial in
 * @param options.dial turns the run's address into the one that the workers are told; may be async
 * @param options.epochsPerBlock how many a block has
 * @param options.settings more options of the run, such as the model and how many samples an epoch has
 */
export function openTrainer({ folder, name, local, remote, dial = (url) => url, epochsPerBlock = 1, settings }) {
  const events = train({
    workers: local,
    minWorkers: Math.max(1, remote),
    port: 0,
    runDir: join(folder, name),
    ...settings,
  });
  const children = [];
  let url;
  const listen = async (event) => {
    url = event.url;
    const told = await dial(url);
    for (let i = 0; i < remote; i++) {
      children.push(
        spawn(process.execPath, [COMMAND, 'join', told, '--workers', '1', '--json'], {
          cwd: folder,
          stdio: 'ignore',
          env: { ...process.env, LOCKSTEP_CACHE_DIR: join(folder, 'cache') },
        }),
      );
    }
  };
  let stepsPerEpoch = 0;
  return {
    /** Trains a block. @returns samples per second */
    async block() {
      let samples = 0;
      let seconds = 0;
      for (let epoch = 0; epoch < epochsPerBlock; ) {
        const { value, done } = await events.next();
        if (done) throw new Error('the run ended early');
        if (value.event === 'listening') await listen(value);
        if (value.event === 'model') stepsPerEpoch = value.stepsPerEpoch;
        if (value.event !== 'epoch') continue;
        epoch++;
        samples += value.samples;
        seconds += value.samples / value.samplesPerSecond;
      }
      return samples / seconds;
    },
    get stepsPerEpoch() {
      return stepsPerEpoch;
    },
    /** Bytes to and from each remote worker so far. */
    async traffic() {
      const { members } = await (await fetch(`${url.replace(/^ws/, 'http')}/api/status`)).json();
      return members
        .filter(({ kind }) => kind === 'remote')
        .map(({ bytesSent, bytesReceived }) => ({ bytesSent, bytesReceived }));
    },
    async close() {
      await events.return();
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'close')));
    },
  };
}
