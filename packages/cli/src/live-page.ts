/** Where the built live page is. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Folder of the page; undefined where it was not built, and a run does without. */
export function livePage(): string | undefined {
  const folder = fileURLToPath(new URL('dist/', import.meta.resolve('@lockstep/web/package.json')));
  return existsSync(folder) ? folder : undefined;
}
