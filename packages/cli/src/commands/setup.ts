/** `lockstep setup tensorflow`: gets what the engine `tensorflow` needs. */
import { LockstepError } from '@lockstep/core';
import { installationFolder, type SetupProgress, setUpTensorflow } from '@lockstep/engine/tensorflow';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions, JSON_RESULT } from '../options.ts';
import { bar, megabytes, Output } from '../output.ts';
import { interruptible } from '../signals.ts';

const file = { placeholder: 'file' };
const folder = { placeholder: 'folder' };

const setupOptions = z.strictObject({
  cpu: z.boolean().default(false).describe('the build for CPUs (default: as there is an NVIDIA driver)'),
  gpu: z.boolean().default(false).describe("the build for NVIDIA GPUs, with NVIDIA's CUDA libraries"),
  wheel: z.string().min(1).optional().describe('wheel of TensorFlow to take, instead of downloading one').meta(file),
  folder: z.string().min(1).optional().describe("where to put it (default: in the user's cache)").meta(folder),
  force: z.boolean().default(false).describe('again, though it is there'),
});

export function setupCommand(program: Command): void {
  const setup = program.command('setup').description('Get what an optional engine needs.');

  addOptions(setup.command('tensorflow'), setupOptions)
    .description(
      "Get TensorFlow (from Python's, or by pip), compile Node's binding to it, and check that it computes: for --engine tensorflow.",
    )
    .option(...JSON_RESULT)
    .action(async ({ json, ...flags }: { json?: boolean }) => {
      const output = new Output(json ?? false);
      const { cpu, gpu, wheel, folder: named, force } = checkOptions(setupOptions, flags);
      if (cpu && gpu) throw new LockstepError('usage', '--cpu and --gpu were both given.', 'Give one of them.');
      const usual = await installationFolder(process.env);
      const result = await setUpTensorflow({
        ...{ wheel, force, env: process.env },
        flavour: gpu ? 'gpu' : cpu ? 'cpu' : undefined,
        folder: named ?? usual,
        signal: interruptible(output, 'Stopping and removing what was made'),
        onProgress: showProgress(output, named ?? usual),
      });
      output.endProgress();
      const done = result.action === 'kept' ? 'is there already' : 'is set up';
      output.line(`${pc.green('✓')} TensorFlow ${result.version} ${done} in ${result.folder}, from ${result.source}`);
      output.line(`${pc.green('✓')} its gradients are right, on ${result.device}`);
      if (result.flavour === 'gpu' && result.device === 'cpu') {
        output.notice(`It is a build for GPUs, but it uses none: ${result.notice ?? 'TensorFlow does not say why.'}`);
      }
      if (result.folder !== usual)
        output.line(`Set LOCKSTEP_TENSORFLOW_DIR=${result.folder} so that it is found, then`);
      output.line(`Use it: lockstep train --engine tensorflow`);
      output.event({ event: 'set-up', engine: 'tensorflow', ...result });
    });
}

/** A line when a stage begins, then how far it has come. */
function showProgress(output: Output, folder: string): (progress: SetupProgress) => void {
  const words = { download: 'downloading', unpack: 'unpacking', compile: 'compiling', check: 'checking' };
  let shown = '';
  output.line(`Setting TensorFlow up in ${folder}`);
  return ({ stage, what, bytes, total }) => {
    const line = `${words[stage].padEnd(11)} ${what}`;
    if (line !== shown) {
      output.endProgress();
      output.line(line);
    }
    shown = line;
    if (bytes === undefined) return;
    output.progress(
      total === undefined
        ? `            ${megabytes(bytes)}`
        : `            ${bar(bytes / total)} ${megabytes(bytes)} of ${megabytes(total)}`,
    );
  };
}
