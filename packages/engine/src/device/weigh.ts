/** Whether a GPU is worth taking, given what it and the CPU computed in a trial. */

/** How much faster than all threads of the CPU it must be: a trial is short, and a GPU takes one thread. */
const WORTH_IT = 1.1;

const rounded = (rate: number): string => Number(rate.toPrecision(2)).toLocaleString('en-US');

/**
 * @param gpus at least one, with its rate in samples per second
 * @param threadRate of one thread of the CPU
 * @returns the GPU to take, or undefined for the CPU, and why
 */
export function weigh(
  gpus: readonly { readonly device: string; readonly rate: number }[],
  threadRate: number,
  numThreads: number,
): { readonly device: string | undefined; readonly reason: string } {
  const { device, rate } = gpus.reduce((best, other) => (other.rate > best.rate ? other : best));
  // More threads seldom bring more than their number.
  const most = threadRate * numThreads;
  const threads = numThreads === 1 ? 'one thread' : `${numThreads} threads`;
  const reason = `${device} computes ${rounded(rate)} samples/s of this model, ${threads} of the CPU at most ${rounded(most)}`;
  return { device: rate > most * WORTH_IT ? device : undefined, reason };
}
