/**
 * Downloads published files into a folder: from the mirror that answers first, going on from another when one fails.
 *
 * A file appears under its own name only once its size and sums are right and it is on disk. Until then it is a part
 * (see part.ts), which the next attempt resumes, in this run or a later one.
 */

import { access, constants, type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { LockstepError } from '@lockstep/core';
import type { OriginalFile } from './fashion-mnist.ts';
import { openUrl, reasonOf } from './http.ts';
import { claimPart, releasePart, removeAbandonedParts } from './part.ts';
import { throwIfInterrupted } from './settings.ts';
import { difference, sumsOf } from './sums.ts';

/** How far one file has come; `bytes` begins above 0 when a download is resumed. */
export interface DownloadProgress {
  readonly file: string;
  readonly bytes: number;
  readonly total: number;
}

export interface DownloadOptions {
  readonly folder: string;
  /** Base URLs, each ending in a slash. */
  readonly mirrors: readonly string[];
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly probeTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

/** How often one mirror may fail before it is asked no more. */
const MAX_TRIES = 3;

/** A mirror did not deliver; another may. */
class MirrorFailure extends Error {
  /** Whether it may do better when asked again: it brought the file forward, or the connection was cut. */
  readonly mayRetry: boolean;

  constructor(message: string, mayRetry: boolean) {
    super(message);
    this.mayRetry = mayRetry;
  }
}

/**
 * Downloads `<name>.gz` for each of `files`, one after the other, replacing what is there.
 *
 * @returns the mirror that delivered each file.
 * @throws LockstepError `cache-unwritable`, `dataset-unavailable` when no mirror delivers, or `interrupted`.
 */
export async function download(files: readonly OriginalFile[], options: DownloadOptions): Promise<readonly string[]> {
  const [first] = files;
  if (!first) return [];
  throwIfInterrupted(options.signal);
  await writable(options.folder, async () => {
    await mkdir(options.folder, { recursive: true });
    await access(options.folder, constants.W_OK);
  });
  const done = new AbortController();
  const failures = new Map<string, string>();
  const again: string[] = [];
  const candidates = takeMirrors(first, options, done.signal, failures, again);
  const deliveredBy: string[] = [];
  try {
    let mirror = await nextMirror(candidates, options, failures);
    const tries = new Map<string, number>();
    for (const file of files) {
      const part = await claimPart(options.folder, `${file.name}.gz`, 2 * options.stallTimeoutMs);
      try {
        for (;;) {
          try {
            await receive(file, part, mirror, options);
            break;
          } catch (error) {
            throwIfInterrupted(options.signal);
            if (!(error instanceof MirrorFailure)) throw error;
            failures.set(mirror, error.message);
            const numTries = (tries.get(mirror) ?? 0) + 1;
            tries.set(mirror, numTries);
            if (error.mayRetry && numTries < MAX_TRIES) again.push(mirror);
            mirror = await nextMirror(candidates, options, failures);
          }
        }
        await keep(part, join(options.folder, `${file.name}.gz`), options.folder);
        await removeAbandonedParts(options.folder, `${file.name}.gz`, 2 * options.stallTimeoutMs);
      } finally {
        releasePart(part);
      }
      deliveredBy.push(mirror);
    }
    return deliveredBy;
  } finally {
    done.abort();
  }
}

async function nextMirror(
  candidates: AsyncIterator<string, void>,
  options: DownloadOptions,
  failures: ReadonlyMap<string, string>,
): Promise<string> {
  const { value } = await candidates.next();
  throwIfInterrupted(options.signal);
  if (value !== undefined) return value;
  const reasons = options.mirrors.map((mirror) => `${mirror} (${failures.get(mirror) ?? 'not tried'})`);
  throw new LockstepError(
    'dataset-unavailable',
    `Fashion-MNIST cannot be downloaded from ${reasons.join(', ')}`,
    'Get the four .gz files by hand and name their folder by --data-dir, or use --dataset synthetic.',
  );
}

/** Asks all mirrors at once and yields them in the order in which they answer, then those worth another try. */
async function* takeMirrors(
  file: OriginalFile,
  { mirrors, probeTimeoutMs, signal }: DownloadOptions,
  done: AbortSignal,
  failures: Map<string, string>,
  again: string[],
): AsyncGenerator<string, void> {
  let late = false;
  const stop = new AbortController();
  const timer = setTimeout(() => {
    late = true;
    stop.abort();
  }, probeTimeoutMs);
  follow(done, stop);
  const unfollow = follow(signal, stop);
  done.addEventListener('abort', () => {
    clearTimeout(timer);
    unfollow();
  });
  const probes = new Map<string, Promise<{ mirror: string; failure: string | undefined }>>();
  for (const mirror of new Set(mirrors)) {
    const failure = probe(`${mirror}${file.name}.gz`, stop.signal).catch((error: unknown) =>
      late ? `no answer within ${probeTimeoutMs / 1000} s` : reasonOf(error),
    );
    probes.set(
      mirror,
      failure.then((failure) => ({ mirror, failure })),
    );
  }
  while (probes.size > 0) {
    const { mirror, failure } = await Promise.race(probes.values());
    probes.delete(mirror);
    if (failure === undefined) yield mirror;
    else failures.set(mirror, failure);
  }
  for (let mirror = again.shift(); mirror !== undefined; mirror = again.shift()) yield mirror;
}

/** Undefined when the mirror has the file, else why not. Asks for one byte, since some servers refuse HEAD. */
async function probe(url: string, signal: AbortSignal): Promise<string | undefined> {
  const response = await openUrl(url, { range: 'bytes=0-0' }, signal);
  const { statusCode } = response;
  response.on('error', () => {}).destroy();
  return statusCode === 200 || statusCode === 206 ? undefined : `HTTP status ${statusCode}`;
}

/**
 * Brings `part` to the whole, right file with what one mirror sends.
 *
 * Wrong sums after a resumption may be the fault of the older bytes, so the file is then fetched once more from its
 * beginning; wrong sums of a file that came in one piece are the mirror's.
 */
async function receive(file: OriginalFile, part: string, mirror: string, options: DownloadOptions): Promise<void> {
  for (;;) {
    const inOnePiece = await append(file, part, mirror, options);
    const wrong = difference(sumsOf(await readFile(part)), file.compressed);
    if (wrong === undefined) return;
    await rm(part, { force: true });
    if (inOnePiece) throw new MirrorFailure(`what it sent is not ${file.name}.gz: ${wrong}`, false);
  }
}

/** Appends the rest of the file; returns whether all of it came from this one request. */
async function append(file: OriginalFile, part: string, mirror: string, options: DownloadOptions): Promise<boolean> {
  const { bytes: total } = file.compressed;
  // Opened for writing at any position, which 'a' forbids; not truncated, which 'w' does.
  const handle = await writable(part, () => open(part, constants.O_RDWR | constants.O_CREAT, 0o644));
  const name = `${file.name}.gz`;
  let stalled = false;
  const stop = new AbortController();
  const unfollow = follow(options.signal, stop);
  const timer = setTimeout(() => {
    stalled = true;
    stop.abort();
  }, options.stallTimeoutMs);
  let at = (await handle.stat()).size;
  if (at > total) at = 0;
  const resumedAt = at;
  let from = at;
  try {
    if (at === total) return false;
    const response = await openUrl(`${mirror}${name}`, at > 0 ? { range: `bytes=${at}-` } : {}, stop.signal);
    response.on('error', () => {});
    try {
      at = from = startOf(response, at, total);
      await writable(part, () => handle.truncate(from));
      options.onProgress?.({ file: name, bytes: at, total });
      for await (const chunk of response as AsyncIterable<Buffer>) {
        timer.refresh();
        if (at + chunk.length > total)
          throw new MirrorFailure(`it sent more than the ${total} bytes of ${name}`, false);
        await writeAll(handle, chunk, at, part);
        at += chunk.length;
        options.onProgress?.({ file: name, bytes: at, total });
      }
    } finally {
      response.destroy();
    }
    if (at < total) throw new MirrorFailure(`it ended ${name} after ${at} of ${total} bytes`, at > from);
    return resumedAt === 0 || from === 0;
  } catch (error) {
    if (error instanceof LockstepError || error instanceof MirrorFailure) throw error;
    const seconds = options.stallTimeoutMs / 1000;
    const reason = stalled ? `it sent nothing for ${seconds} s` : reasonOf(error);
    // One that was silent from the first is not worth as long a wait again.
    throw new MirrorFailure(`${reason}, after ${at} of ${total} bytes of ${name}`, at > from || !stalled);
  } finally {
    clearTimeout(timer);
    unfollow();
    await handle.close();
  }
}

/** Aborts `controller` when `signal` is; returns what ends that. */
function follow(signal: AbortSignal | undefined, controller: AbortController): () => void {
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  return () => signal?.removeEventListener('abort', abort);
}

/** Checks the header of an answer; returns the position at which its body begins. */
function startOf(response: IncomingMessage, asked: number, total: number): number {
  const { statusCode, headers } = response;
  if (statusCode === 206) {
    const [, start, size] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
    if (Number(start) === asked && (size === '*' || Number(size) === total)) return asked;
    throw new MirrorFailure(`it answered with the range ${headers['content-range']} instead of ${asked}-`, false);
  }
  if (statusCode !== 200) throw new MirrorFailure(`HTTP status ${statusCode}`, false);
  // The server does not resume: the whole file comes again.
  const length = headers['content-length'];
  if (length === undefined || Number(length) === total) return 0;
  throw new MirrorFailure(`its file has ${length} bytes instead of ${total}`, false);
}

async function writeAll(handle: FileHandle, chunk: Buffer, at: number, path: string): Promise<void> {
  await writable(path, async () => {
    for (let done = 0; done < chunk.length; ) {
      done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
    }
  });
}

/** Puts a complete part on disk under its own name, so that a crash leaves either the old file or the new one. */
async function keep(part: string, path: string, folder: string): Promise<void> {
  await writable(path, async () => {
    const handle = await open(part, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, path);
  });
  // Makes the new name last, too. Windows cannot open a folder; the file itself is on disk either way.
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** Runs an operation on the cache; its failure is the cache's. */
async function writable<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new LockstepError(
      'cache-unwritable',
      `The cache cannot be written at ${path}: ${code === 'ENOSPC' ? 'the disk is full' : message}`,
      'Set LOCKSTEP_CACHE_DIR to a folder that can be written, or name a folder with the files by --data-dir.',
      { cause: error },
    );
  }
}
