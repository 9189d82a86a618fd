/** A run at a glance, in a few lines: progress, workers, curves as sparklines. */
import type { MemberStatus, RunStatus } from '@lockstep/protocol';
import pc from 'picocolors';
import { bar, duration, integer, percent } from './output.ts';

const BARS = '▁▂▃▄▅▆▇█';
const SPARK_WIDTH = 24;
/** More are counted, not listed. */
const MAX_MEMBERS = 8;

/** A curve in one line. Values are averaged into columns, and drawn from the least to the greatest. */
export function sparkline(values: readonly number[], width = SPARK_WIDTH): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return '';
  const columns = Math.min(width, finite.length);
  const means = Array.from({ length: columns }, (_, i) => {
    const part = finite.slice(
      Math.floor((i * finite.length) / columns),
      Math.floor(((i + 1) * finite.length) / columns),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const least = Math.min(...means);
  const span = Math.max(...means) - least;
  // A constant curve is a flat line at the bottom.
  const level = (value: number): number => (span > 0 ? Math.round(((value - least) / span) * (BARS.length - 1)) : 0);
  return means.map((value) => BARS[level(value)]).join('');
}

/** @param width columns of the terminal; longer lines are cut */
export function runView(status: RunStatus, width: number): string[] {
  return [headline(status), ...curves(status), ...members(status)].map((line) => cut(line, width));
}

function headline({ state, reason, epoch, model, runStep, fraction, etaSeconds, samplesPerSecond }: RunStatus): string {
  const { epochs = 0, stepsPerEpoch = 0 } = model ?? {};
  const step = stepsPerEpoch > 0 && runStep > 0 ? ((runStep - 1) % stepsPerEpoch) + 1 : 0;
  const where = epoch > 0 ? `epoch ${epoch}/${epochs} step ${step}/${stepsPerEpoch}` : '';
  const rate = samplesPerSecond > 0 ? `${integer(samplesPerSecond)} samples/s` : '';
  const left = etaSeconds === undefined ? '' : `${duration(etaSeconds)} left`;
  const parts = [where, rate, left, reason ?? ''].filter((part) => part !== '');
  return `${bar(fraction)} ${pc.bold(state)} ${parts.join('  ')}`;
}

const stepMs = ({ broadcast, compute, gather, update }: NonNullable<RunStatus['phases']>): number =>
  broadcast + compute + gather + update;

function curves({ curve, epochs, result, efficiency, phases }: RunStatus): string[] {
  const lines: string[] = [];
  const loss = curve.loss.at(-1);
  if (loss !== undefined) {
    lines.push(`${pc.dim('train loss   ')} ${pc.cyan(sparkline(curve.loss).padEnd(SPARK_WIDTH))} ${loss.toFixed(4)}`);
  }
  const test = epochs.at(-1);
  if (test) {
    const accuracies = epochs.map(({ testAccuracy }) => testAccuracy);
    const line = sparkline(accuracies).padEnd(SPARK_WIDTH);
    const end = result && test.evaluatedOn ? `  test accuracy ${percent(result.testAccuracy)}` : '';
    lines.push(
      `${pc.dim(test.evaluatedOn ? 'val. accuracy' : 'test accuracy')} ${pc.green(line)} ${percent(test.testAccuracy)}${end}`,
    );
  }
  if (phases) {
    const total = stepMs(phases);
    const share = Object.entries(phases).map(([name, ms]) => `${name} ${Math.round((ms / total) * 100)} %`);
    const scaling = efficiency === undefined ? '' : `  efficiency ${percent(efficiency)}`;
    lines.push(`${pc.dim('step         ')} ${total.toFixed(1)} ms: ${share.join(', ')}${scaling}`);
  }
  return lines;
}

/** The first steps take longer than all later ones. */
const LEAST_STEPS = 100;
/** Of the time of a step. The recipes give less to their updates. */
const COSTLY_SHARE = 0.75;

/** Says so when most of the time goes into an update that takes as long for a small batch as for a large one. */
export function costlyUpdate({ model, runStep, phases }: RunStatus): string | undefined {
  if (model?.optimizer !== 'muon' || !phases || runStep < LEAST_STEPS) return undefined;
  const share = phases.update / stepMs(phases);
  if (share < COSTLY_SHARE) return undefined;
  return (
    `${Math.round(share * 100)} % of each step is the update by muon, whose work does not depend on the batch: ` +
    `more than --batch-size ${model.batchSize}, or --optimizer adamw, shortens the epochs.`
  );
}

function members({ members: all }: RunStatus): string[] {
  const lines = all.slice(0, MAX_MEMBERS).map(memberLine);
  if (all.length > MAX_MEMBERS) lines.push(pc.dim(`              and ${all.length - MAX_MEMBERS} more workers`));
  return lines;
}

function memberLine({ id, kind, name, threads, engine, device, state, shards, ...rest }: MemberStatus): string {
  const who = kind === 'local' ? `${threads} threads` : `${name}, ${threads} threads`;
  const range = shards
    ? shards.to - shards.from === 1
      ? `shard ${shards.from}`
      : `shards ${shards.from}-${shards.to - 1}`
    : '';
  const rate = rest.samplesPerSecond === undefined ? '' : `${integer(rest.samplesPerSecond)}/s`;
  const how = state === 'ready' ? [`${engine} on ${device}`, range, rate] : [state, rest.reason ?? ''];
  return `${pc.dim(id.padEnd(13))} ${[who, ...how].filter((part) => part !== '').join('  ')}`;
}

/** Cuts visible characters, not the codes of colours. */
function cut(line: string, width: number): string {
  let visible = 0;
  let text = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with an escape
  for (const piece of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (piece.startsWith('\x1b')) text += piece;
    else {
      text += piece.slice(0, Math.max(0, width - visible));
      visible += piece.length;
    }
  }
  return text;
}
