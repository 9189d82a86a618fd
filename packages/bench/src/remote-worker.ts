/**
 * A worker process on loopback, as `lockstep join` is one, with one thread. It ends with the process that started it, in
 * whatever way that one ends.
 *
 *   node remote-worker.js <url> <cache folder> <engine>
 */
import { type JoinOptions, join } from '@lockstep/worker';

const [url = '', cacheDir = '', engine = 'auto'] = process.argv.slice(2);
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Ctrl-C goes to all processes of a terminal; the one that started this one ends it.
process.on('SIGINT', () => {});
const options: JoinOptions = {
  url,
  cacheDir,
  workers: 1,
  engine: engine as NonNullable<JoinOptions['engine']>,
  patience: 10,
};
for await (const _ of join(options, { signal: undefined })) {
  // Only the coordinator looks at what happens.
}
process.exit();
