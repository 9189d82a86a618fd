/**
 * Puts a compressed copy beside every large file of the built pages, once, so that the coordinator need not compress while it
 * trains. As gzip, which browsers ask for over http://, too: ONNX Runtime is for phones on the same network.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LEAST_BYTES = 4096;
const folder = join(import.meta.dirname, 'dist');

for (const name of readdirSync(folder, { recursive: true })) {
  const file = join(folder, name);
  if (!/\.(html|js|css|svg|wasm)$/.test(name) || statSync(file).size < LEAST_BYTES) continue;
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
}
