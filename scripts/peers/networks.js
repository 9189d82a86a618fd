/** Writes a model's network to a file, from which the Python subjects build it: no topology is written down twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeNetwork } from '@lockstep/bench';
import { parseTopology, zoo } from '@lockstep/engine';

let folder;

/** @returns path of a file that is there as long as this process */
export function networkFile(model) {
  if (!folder) {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-networks-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  const path = join(folder, `${model}.json`);
  writeFileSync(path, JSON.stringify(describeNetwork(parseTopology(zoo[model].topology))));
  return path;
}
