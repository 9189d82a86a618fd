/** Certificate and private key of the server. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LockstepError } from '@lockstep/core';

/** Contents of the two PEM files. The certificate may be followed by those of its issuers. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const HOW_TO_MAKE =
  'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=lockstep -keyout key.pem -out cert.pem';

const invalid = (message: string, cause: unknown): LockstepError =>
  new LockstepError('tls-invalid', message, `Name a pair of PEM files; this makes one: ${HOW_TO_MAKE}`, { cause });

/**
 * Reads the files named by `--tls-cert` and `--tls-key`.
 * @returns undefined when neither is named
 * @throws LockstepError `usage` when only one is named, `tls-invalid` when they cannot be read or do not fit together
 */
export async function readTls(
  certPath: string | undefined,
  keyPath: string | undefined,
): Promise<TlsFiles | undefined> {
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath === undefined || keyPath === undefined) {
    const [given, missing] = keyPath === undefined ? ['--tls-cert', '--tls-key'] : ['--tls-key', '--tls-cert'];
    throw new LockstepError('usage', `${given} was given without ${missing}.`, 'Name both files, or neither.');
  }
  const files = { cert: await read('--tls-cert', certPath), key: await read('--tls-key', keyPath) };
  fingerprintOf(files);
  return files;
}

async function read(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw invalid(`Cannot read ${flag} ${path}: ${(error as Error).message}.`, error);
  }
}

/**
 * SHA-256 fingerprint of the certificate, written as TLS clients do in `fingerprint256`.
 * @throws LockstepError `tls-invalid` when the certificate or the key is none, or the key belongs to another certificate
 */
export function fingerprintOf({ cert, key }: TlsFiles): string {
  const certificate = parseCertificate(cert);
  if (!certificate.checkPrivateKey(parseKey(key))) {
    throw invalid('The key of --tls-key does not belong to the certificate of --tls-cert.', undefined);
  }
  return certificate.fingerprint256;
}

function parseCertificate(pem: Buffer): X509Certificate {
  try {
    // Without this, a certificate in DER would be accepted here and then refused by the TLS server.
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('no certificate in PEM');
    return new X509Certificate(pem);
  } catch (error) {
    throw invalid(`--tls-cert is not a certificate in PEM: ${(error as Error).message}.`, error);
  }
}

function parseKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw invalid(`--tls-key is not a private key in PEM without a passphrase: ${(error as Error).message}.`, error);
  }
}
