/**
 * One worker process for each of several devices: native GPU runtimes keep state for the whole process, so two GPUs in one
 * get in each other's way.
 */
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { LockstepError } from '@lockstep/core';
import { isDeviceName } from '@lockstep/engine';
import pc from 'picocolors';
import type { Output } from '../output.ts';

const COMMAND = fileURLToPath(new URL('../../bin/lockstep.js', import.meta.url));
/** Where NVIDIA's driver for Linux lists its GPUs. */
const GPUS = '/proc/driver/nvidia/gpus';

/** A worker process to be started. */
export interface DeviceWorker {
  /** For people. */
  readonly label: string;
  readonly device: string;
  readonly env: NodeJS.ProcessEnv;
}

/** GPUs that CUDA may use, as CUDA_VISIBLE_DEVICES names them. */
async function cudaGpus(env: NodeJS.ProcessEnv): Promise<string[]> {
  const visible = env.CUDA_VISIBLE_DEVICES;
  if (visible !== undefined) return visible.split(',').filter((name) => name !== '' && name !== '-1');
  const gpus = await readdir(GPUS).catch(() => []);
  return gpus.map((_, index) => String(index));
}

/**
 * What `--devices` asks for.
 * @param text device names, separated by commas, or `all` for every NVIDIA GPU
 * @throws LockstepError `usage`, or `engine-unavailable` where `all` finds none
 */
export async function workersFor(text: string, env: NodeJS.ProcessEnv): Promise<DeviceWorker[]> {
  const gpus = await cudaGpus(env);
  if (text === 'all' && gpus.length === 0) {
    throw new LockstepError(
      'engine-unavailable',
      '--devices all finds no NVIDIA GPU on this machine.',
      'Look at nvidia-smi and CUDA_VISIBLE_DEVICES; or name devices, as in --devices webgpu,cpu.',
    );
  }
  const names = text === 'all' ? gpus.map((_, index) => `cuda:${index}`) : text.split(',').map((name) => name.trim());
  return names.map((name, i) => {
    if (!isDeviceName(name)) {
      throw new LockstepError('usage', `--devices ${text}: there is no device "${name}".`, 'Run: lockstep devices');
    }
    const label = names.indexOf(name) === i ? name : `${name} (${i + 1})`;
    const gpu = /^cuda(?::(\d+))?$/.exec(name);
    if (!gpu) return { label, device: name, env };
    const index = Number(gpu[1] ?? 0);
    // Every engine then sees this GPU alone, and finds it in the same way.
    return { label, device: 'cuda', env: { ...env, CUDA_VISIBLE_DEVICES: gpus[index] ?? String(index) } };
  });
}

/**
 * Runs a `lockstep join` for each worker until all have ended.
 * @param words of the command line, but for device and name
 * @param name that the workers' names begin with
 * @throws LockstepError `worker-failed` when one did not end well
 */
export async function joinEach(
  workers: readonly DeviceWorker[],
  words: readonly string[],
  name: string,
  output: Output,
  json: boolean,
): Promise<void> {
  const children = workers.map(({ label, device, env }) => {
    const own = ['--device', device, '--name', `${name} ${label}`.slice(0, 64)];
    const child = spawn(process.execPath, [COMMAND, 'join', ...words, ...own], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const forward = (stream: Readable, write: (line: string) => void): void => {
      createInterface({ input: stream }).on('line', write);
    };
    forward(child.stdout, (line) => (json ? process.stdout.write(`${line}\n`) : output.line(line)));
    forward(child.stderr, (line) => output.line(`${pc.dim(label)}  ${line}`));
    return { label, child };
  });
  // A terminal sends Ctrl-C to all of them; who else stops this process means them, too.
  const stop = (signal: NodeJS.Signals): void => {
    for (const { child } of children) child.kill(signal);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const codes = await Promise.all(
    children.map(
      ({ child }) =>
        new Promise<number>((resolve) => {
          child.once('close', (code) => resolve(code ?? 1));
          child.once('error', () => resolve(1));
        }),
    ),
  );
  const failed = children.flatMap(({ label }, i) => (codes[i] === 0 ? [] : [`${label} (exit code ${codes[i]})`]));
  if (failed.length === 0) return;
  if (codes.every((code) => code === 0 || code === 130)) {
    throw new LockstepError('interrupted', 'Interrupted.', 'Join again at any time.');
  }
  throw new LockstepError('worker-failed', `Workers failed: ${failed.join(', ')}.`, 'Their own words are above.');
}
