/**
 * Half-downloaded files: `<name>.<host>.<pid>.<random>.part` in the cache folder.
 *
 * Each download writes a part of its own, so that two processes never write to the same one; what another left behind
 * is taken over by renaming it, which only one process can do. A part taken from a writer that still lives after all
 * (on another machine, silent for long) costs a second download and no more: its sums will not match.
 */

import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

const HOST = hostname().replace(/[^A-Za-z0-9-]/g, '_') || 'localhost';
/** Parts that this process is writing. */
const active = new Set<string>();

/** Claims a part for `name` in `folder`: the largest abandoned one under a new name, else a path of no file yet. */
export async function claimPart(folder: string, name: string, abandonedAfterMs: number): Promise<string> {
  const mine = join(folder, `${name}.${HOST}.${process.pid}.${randomBytes(4).toString('hex')}.part`);
  active.add(mine);
  for (const { path } of await abandonedParts(folder, name, abandonedAfterMs)) {
    try {
      await rename(path, mine);
      return mine;
    } catch {
      // Another process was faster.
    }
  }
  return mine;
}

/** Lets go of a part; another download may go on with it. */
export function releasePart(path: string): void {
  active.delete(path);
}

/** Removes parts that nobody needs once the file is complete. */
export async function removeAbandonedParts(folder: string, name: string, abandonedAfterMs: number): Promise<void> {
  for (const { path } of await abandonedParts(folder, name, abandonedAfterMs)) await rm(path, { force: true });
}

async function abandonedParts(
  folder: string,
  name: string,
  abandonedAfterMs: number,
): Promise<{ path: string; bytes: number }[]> {
  const parts: { path: string; bytes: number }[] = [];
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith('.part')) continue;
    const path = join(folder, entry);
    const info = await stat(path).catch(() => undefined);
    if (!info || active.has(path)) continue;
    const silentMs = Date.now() - info.mtimeMs;
    if (silentMs > abandonedAfterMs || !writerLives(entry)) parts.push({ path, bytes: info.size });
  }
  return parts.sort((a, b) => b.bytes - a.bytes);
}

/** Whether the process that wrote a part may still run; one on another machine may. */
function writerLives(entry: string): boolean {
  const [, host, pid] = /\.([A-Za-z0-9_-]+)\.(\d+)\.[0-9a-f]+\.part$/.exec(entry) ?? [];
  if (host !== HOST || pid === undefined) return true;
  // Not among `active`, so an earlier process of the same number wrote it: usual in containers.
  if (Number(pid) === process.pid) return false;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
