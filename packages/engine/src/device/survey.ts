/** All engines and devices of this machine, each tried out with a model: what `lockstep devices` shows. */
import { availableParallelism, cpus } from 'node:os';
import { basename } from 'node:path';
import type { EngineConfig, EngineKind } from '../engine.ts';
import { gpuCandidates } from './candidates.ts';
import { type Card, graphicsCards } from './cards.ts';
import { type TrialResult, tryEngineApart } from './trial.ts';
import { type VulkanDriver, vulkanDrivers } from './vulkan.ts';
import { weigh } from './weigh.ts';

export interface SurveyOptions {
  /** Samples. */
  readonly microBatch: number;
  /** The most micro-batches in a call. */
  readonly maxGroup: number;
  /** How long to measure each. */
  readonly seconds: number;
  /** Whether software that plays a GPU is tried, too; it is slow. */
  readonly software: boolean;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  /** Called before each is tried. */
  readonly onTrial: (engine: EngineKind, device: string) => void;
}

/** An engine on a device. */
export interface DeviceReport {
  readonly engine: EngineKind;
  /** For `--device`. */
  readonly device: string;
  /** What it runs on, as far as the system says. */
  readonly hardware: string;
  readonly result: TrialResult;
}

export interface Survey {
  readonly devices: readonly DeviceReport[];
  /** Threads that would compute on the CPU, each at the rate that is measured. */
  readonly numThreads: number;
  /** What `--engine auto` takes for this model; undefined when nothing works. */
  readonly auto: { readonly engine: EngineKind; readonly device: string; readonly reason: string } | undefined;
}

const describeCard = ({ vendor, model, driver }: Card): string =>
  `${model.toLowerCase().includes(vendor) ? model : `${vendor} ${model}`} (${driver ?? 'no driver'})`;

function hardwareOf(device: string, cards: readonly Card[], drivers: readonly VulkanDriver[]): string {
  if (device === 'webgpu:software') {
    const manifests = drivers.filter(({ isSoftware }) => isSoftware).map(({ manifest }) => basename(manifest));
    return `the CPU, by ${manifests.join(', ')}`;
  }
  const vendor = device === 'cuda' ? 'nvidia' : device.split(':')[1];
  const matching = cards.filter((card) => vendor === undefined || card.vendor === vendor);
  return matching.length === 0 ? 'unknown' : matching.map(describeCard).join('; ');
}

/** Engines and the names of their devices, in the order in which they are tried. */
function everything(drivers: readonly VulkanDriver[]): [EngineKind, string][] {
  const hardware = [...new Set(drivers.filter(({ isSoftware }) => !isSoftware).map(({ name }) => name))];
  return [
    ['native', 'cpu'],
    ['onnx', 'cpu'],
    ['onnx', 'webgpu'],
    ...(hardware.length > 1 ? hardware.map((name): [EngineKind, string] => ['onnx', `webgpu:${name}`]) : []),
    ...(drivers.some(({ isSoftware }) => isSoftware) ? [['onnx', 'webgpu:software'] as [EngineKind, string]] : []),
    ['onnx', 'cuda'],
    ['tensorflow', 'auto'],
    ['tfjs', 'auto'],
  ];
}

const UNTRIED: TrialResult = {
  works: false,
  reason: 'it is software, and was not tried.',
  nextStep: 'To try it: lockstep devices --software',
};

/** Tries them one after the other, each in a process of its own. */
export async function surveyDevices(config: EngineConfig, options: SurveyOptions): Promise<Survey> {
  const { microBatch, maxGroup, seconds, software, deadlineMs, signal, onTrial } = options;
  const drivers = process.platform === 'linux' ? vulkanDrivers(process.env) : [];
  const cards = await graphicsCards();
  const numThreads = availableParallelism();
  const cpu = `${cpus()[0]?.model.trim() ?? 'unknown'}`;
  const devices: DeviceReport[] = [];
  for (const [engine, device] of everything(drivers)) {
    signal?.throwIfAborted();
    const isUntried = device === 'webgpu:software' && !software;
    if (!isUntried) onTrial(engine, device);
    const order = { kind: engine, device, microBatch, maxGroup, seconds };
    const result = isUntried ? UNTRIED : await tryEngineApart(config, order, deadlineMs, signal);
    // Plain tf.js and TensorFlow say themselves where they run.
    const found = device === 'auto' && result.works ? result.device : device;
    const onCpu = engine === 'onnx' ? device === 'cpu' : found !== 'cuda';
    devices.push({ engine, device: found, hardware: onCpu ? cpu : hardwareOf(found, cards, drivers), result });
  }
  return { devices, numThreads, auto: wouldTake(devices, numThreads) };
}

/** As `chooseEngine` decides. */
function wouldTake(devices: readonly DeviceReport[], numThreads: number): Survey['auto'] {
  const working = devices.flatMap(({ engine, device, result }) =>
    result.works ? [{ engine, device, rate: result.rate ?? 0 }] : [],
  );
  // The faster one comes first.
  const cpu = working.find(({ engine, device }) => (engine === 'native' || engine === 'onnx') && device === 'cpu');
  const candidates = gpuCandidates();
  const gpus = working.filter(({ engine, device }) => engine === 'onnx' && candidates.includes(device));
  const weighed = gpus.length > 0 ? weigh(gpus, cpu?.rate ?? 0, numThreads) : undefined;
  if (weighed?.device !== undefined) return { engine: 'onnx', device: weighed.device, reason: weighed.reason };
  const next = cpu ?? working.find(({ engine }) => engine !== 'onnx');
  if (!next) return undefined;
  const { engine, device } = next;
  const reason = cpu ? 'no GPU that works here, and the fastest engine without one' : 'the next fastest that works';
  return { engine, device, reason: weighed?.reason ?? reason };
}
