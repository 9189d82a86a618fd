/** Thread of memory.ts: copies one large array to another, and posts the bytes read and written per second of each copy. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CopyOrder } from './memory.ts';

const { seconds, numBytes } = workerData as CopyOrder;
const from = new Float32Array(numBytes / 4).fill(1);
const to = new Float32Array(from.length).fill(2);
const rates: number[] = [];
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  const started = performance.now();
  to.set(from);
  rates.push((2 * numBytes) / ((performance.now() - started) / 1000));
}
parentPort!.postMessage(rates);
