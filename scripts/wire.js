/**
 * What the formats in which gradients travel save: bytes of a step, and the rate of two remote workers, over loopback or
 * over a line that is made slow. Blocks of training alternate, so that drift of the machine cancels; ratios to fp32 are
 * medians of those round by round.
 *
 *   npm run build && node scripts/wire.js [--model cnn] [--optimizer adamw] [--mbit 100] [--formats fp32,fp16,int8,topk:0.01]
 *     [--rounds 5] [--data-dir DIR]
 *
 * With --mbit 0 the line is loopback itself.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { estimate, median } from '@lockstep/bench';
import { openTrainer } from './trainer.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'cnn' },
    optimizer: { type: 'string', default: 'adamw' },
    mbit: { type: 'string', default: '100' },
    formats: { type: 'string', default: 'fp32,fp16,int8,topk:0.01' },
    rounds: { type: 'string', default: '5' },
    'data-dir': { type: 'string' },
  },
});
const formats = values.formats.split(',');
const rounds = Number(values.rounds);
const megabits = Number(values.mbit);
const SAMPLES = { mlp: 20_480, cnn: 6144, resnet: 2048 };
const NUM_WORKERS = 2;
const folder = mkdtempSync(join(tmpdir(), 'lockstep-wire-'));
const proxies = [];

/** The address of a slow line to the run. */
async function slowLine(url) {
  if (megabits === 0) return url;
  const proxy = fork(fileURLToPath(new URL('slow-link.js', import.meta.url)), [new URL(url).port, String(megabits)]);
  proxies.push(proxy);
  const [port] = await once(proxy, 'message');
  return `ws://127.0.0.1:${port}`;
}

const open = (format) =>
  openTrainer({
    folder,
    name: format.replace(':', '-'),
    local: 0,
    remote: NUM_WORKERS,
    dial: slowLine,
    settings: {
      model: values.model,
      optimizer: values.optimizer,
      wire: format,
      reduction: format.startsWith('topk') ? 'fast' : 'exact',
      batchSize: 512,
      epochs: rounds + 3,
      limitTrain: SAMPLES[values.model] ?? 2048,
      limitTest: 100,
      ...(values['data-dir'] ? { dataDir: values['data-dir'] } : {}),
    },
  });

const subjects = formats.map((format) => ({ format, trainer: open(format), rates: [] }));
// The data is fetched in the first, and shares settle.
for (let i = 0; i < 2; i++) for (const { trainer } of subjects) await trainer.block();
for (const subject of subjects) subject.before = await subject.trainer.traffic();
for (let round = 0; round < rounds; round++) {
  for (let i = 0; i < subjects.length; i++) {
    const subject = subjects[(round + i) % subjects.length];
    subject.rates.push(await subject.trainer.block());
  }
}
for (const subject of subjects) subject.after = await subject.trainer.traffic();
await Promise.all(subjects.map(({ trainer }) => trainer.close()));
for (const proxy of proxies) proxy.kill();
rmSync(folder, { recursive: true });

const line = megabits === 0 ? 'loopback' : `${megabits} Mbit/s in each direction, shared`;
console.log(
  `${values.model}, ${values.optimizer}, global batch 512, ${NUM_WORKERS} remote workers over ${line}, ${rounds} rounds`,
);
const [first] = subjects;
for (const { format, trainer, rates, before, after } of subjects) {
  const steps = rounds * trainer.stepsPerEpoch;
  const bytes = (field) => after.reduce((sum, member, i) => sum + member[field] - before[i][field], 0) / steps;
  const ratio = estimate(rates.map((rate, i) => rate / first.rates[i]));
  const against =
    format === first.format
      ? ''
      : `  ${ratio.median.toFixed(2)} x ${first.format} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`;
  const megabytes = (count) => `${(count / 1e6).toFixed(2)} MB`;
  console.log(
    `  ${format.padEnd(9)} ${megabytes(bytes('bytesSent'))} down, ${megabytes(bytes('bytesReceived'))} up a step` +
      `  ${Math.round(median(rates))} samples/s${against}`,
  );
}
