/** Every setting of a remote worker, once: the schema gives its type, its default, its check and its line of help. */
import { hostname } from 'node:os';
import { LockstepError } from '@lockstep/core';
import type { EngineKind } from '@lockstep/engine';
import { z } from 'zod';
import { computeOptions } from '../options.ts';
import { defaultNumThreads } from '../pool.ts';
import { readTrust, type Trust } from './trust.ts';
import { parseUrl } from './url.ts';

export const joinOptions = z.strictObject({
  url: z.string().describe('address of the coordinator: ws://host:port or wss://host:port'),
  cacheDir: z.string().min(1).describe('folder in which the data is kept for the next time'),
  ...computeOptions,
  name: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe('what the coordinator calls this worker (default: the host name)'),
  token: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'only printable ASCII characters without spaces')
    .optional()
    .describe('token of the coordinator'),
  tlsCa: z.string().min(1).optional().describe('PEM file of a certificate authority to trust beside the known ones'),
  tlsFingerprint: z
    .string()
    .regex(/^([0-9a-f]{2}:?){31}[0-9a-f]{2}$/i, 'not 64 hexadecimal digits, with or without colons')
    .optional()
    .describe("SHA-256 fingerprint of the coordinator's certificate, which is then trusted and no other"),
  patience: z.number().nonnegative().default(900).describe('seconds to look for a coordinator before giving up'),
});

/** What a caller may say. */
export type JoinOptions = z.input<typeof joinOptions>;

/** Checked options. */
export interface JoinConfig {
  readonly url: URL;
  readonly trust: Trust;
  readonly token: string | undefined;
  readonly name: string;
  readonly numThreads: number;
  /** The same, where it was asked for. */
  readonly workers: number | undefined;
  readonly engine: EngineKind | 'auto';
  readonly device: string;
  readonly patienceMs: number;
  readonly cacheDir: string;
}

/** @throws LockstepError `usage` that names the option, or `tls-invalid` */
export async function resolveJoin(options: JoinOptions): Promise<JoinConfig> {
  const parsed = joinOptions.safeParse(options);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'options'}: ${message}`);
    throw new LockstepError('usage', `Invalid options: ${problems.join('; ')}.`, 'See lockstep join --help.');
  }
  const { tlsCa, tlsFingerprint, workers, patience, ...given } = parsed.data;
  const url = parseUrl(given.url);
  return {
    ...given,
    url,
    trust: await readTrust(url, tlsCa, tlsFingerprint),
    token: given.token,
    name: given.name ?? hostname().slice(0, 64),
    numThreads: workers ?? defaultNumThreads(),
    workers,
    patienceMs: patience * 1000,
  };
}
