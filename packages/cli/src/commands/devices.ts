/** `lockstep devices`: which engines and devices this machine has, whether they compute right, and how fast. */
import { loadModel } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { type DeviceReport, type Survey, surveyDevices } from '@lockstep/engine';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions, JSON_RESULT } from '../options.ts';
import { integer, Output, table } from '../output.ts';
import { interruptible } from '../signals.ts';

const options = z.strictObject({
  model: z
    .string()
    .min(1)
    .default('mlp')
    .describe('model to try them with: mlp, cnn, resnet, resnet-fine, or a model.json'),
  microBatch: z.int().positive().max(65_536).default(64).describe('samples in a micro-batch'),
  seconds: z.number().positive().max(60).default(1).describe('how long to measure each'),
  deadline: z.number().positive().max(3_600).default(60).describe('seconds after which one counts as hanging'),
  software: z.boolean().default(false).describe('try software that plays a GPU, too; it is slow'),
});

/** Micro-batches in a step, as training has them by default. */
const SHARDS = 8;

export function devicesCommand(program: Command): void {
  const command = program
    .command('devices')
    .description('List the engines and devices of this machine: which work, how fast, and which would be taken.')
    .option(...JSON_RESULT);
  addOptions(command, options).action(async ({ json, ...flags }: { json?: boolean }) => {
    const output = new Output(json ?? false);
    const { model: name, microBatch, seconds, deadline, software } = checkOptions(options, flags);
    const { network } = await loadModel(name);
    const signal = interruptible(output, 'Stopping');
    const survey = await surveyDevices(
      { network, labelSmoothing: 0 },
      {
        microBatch,
        maxGroup: SHARDS,
        seconds,
        software,
        deadlineMs: deadline * 1000,
        signal,
        onTrial: (engine, device) => output.progress(`trying ${engine} on ${device}`),
      },
    ).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new LockstepError('interrupted', 'Interrupted.', 'Run it again at any time.', { cause: error });
    });
    output.endProgress();
    show(output, survey, network.name, microBatch);
    const devices = survey.devices.map(({ result, ...device }) => ({ ...device, ...result }));
    output.event({ event: 'devices', model: network.name, microBatch, ...survey, devices });
  });
}

function show(output: Output, { devices, numThreads, auto }: Survey, model: string, microBatch: number): void {
  output.line(`Forward and backward of ${model}, micro-batches of ${microBatch} samples:`);
  output.line();
  const rows = devices.flatMap(({ engine, device, result, hardware }) =>
    result.works ? [{ cells: [`${engine} on ${device}`, integer(result.rate ?? 0)], hardware }] : [],
  );
  const [head, ...lines] = table(
    ['device', 'samples/s'],
    rows.map(({ cells }) => cells),
  );
  output.line(pc.dim(`${head}  hardware`));
  for (const [i, line] of lines.entries()) output.line(`${line}  ${rows[i]!.hardware}`);
  output.line(pc.dim(`On the CPU that is one thread; this machine runs ${numThreads} of them.`));
  for (const device of devices) showFailure(output, device);
  output.line();
  output.line(
    auto
      ? `${pc.green('auto')}    takes ${pc.bold(`${auto.engine} on ${auto.device}`)}: ${auto.reason}`
      : `${pc.red('auto')}    finds nothing that works`,
  );
}

function showFailure(output: Output, { engine, device, result, hardware }: DeviceReport): void {
  if (result.works) return;
  output.line();
  const of = hardware === 'unknown' || device === 'auto' ? '' : ` (${hardware})`;
  output.line(`${pc.yellow('no')}      ${engine}${device === 'auto' ? '' : ` on ${device}`}${of}: ${result.reason}`);
  output.line(`        ${result.nextStep}`);
}
