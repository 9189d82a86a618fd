/** Whom a worker trusts to be its coordinator: certificates, and what is wrong with the one that was shown. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { rootCertificates, type TLSSocket } from 'node:tls';
import { LockstepError } from '@lockstep/core';

export type Trust =
  /** The authorities that Node.js knows, or these. */
  | { readonly kind: 'authorities'; readonly ca: readonly string[] | undefined }
  /** One certificate, whoever issued it. SHA-256 in the notation of `fingerprint256`. */
  | { readonly kind: 'pinned'; readonly fingerprint: string };

/**
 * @param caFile of `--tls-ca`
 * @param fingerprint of `--tls-fingerprint`: 64 hexadecimal digits, with or without colons
 * @throws LockstepError `usage`, or `tls-invalid` when the file cannot be used
 */
export async function readTrust(url: URL, caFile: string | undefined, fingerprint: string | undefined): Promise<Trust> {
  const flag = fingerprint === undefined ? '--tls-ca' : '--tls-fingerprint';
  if ((caFile ?? fingerprint) !== undefined && url.protocol !== 'wss:') {
    throw new LockstepError('usage', `${flag} has no use with ${url.protocol}//.`, 'Use wss://, or leave it out.');
  }
  if (fingerprint !== undefined) {
    if (caFile !== undefined) {
      throw new LockstepError('usage', '--tls-ca and --tls-fingerprint exclude each other.', 'Leave one out.');
    }
    const digits = fingerprint.replaceAll(':', '').toUpperCase();
    return { kind: 'pinned', fingerprint: digits.match(/../g)!.join(':') };
  }
  return { kind: 'authorities', ca: caFile === undefined ? undefined : [...rootCertificates, await readCa(caFile)] };
}

async function readCa(path: string): Promise<string> {
  try {
    const pem = await readFile(path, 'utf8');
    // Throws when there is none in it; TLS itself would ignore the file.
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new LockstepError(
      'tls-invalid',
      `--tls-ca ${path} cannot be used: ${(error as Error).message}.`,
      'Name a PEM file with the certificate of an authority.',
      { cause: error },
    );
  }
}

/** Options of a TLS connection. A pinned certificate is checked by {@link checkPinned}, not by its chain. */
export const tlsOptionsOf = (trust: Trust) =>
  trust.kind === 'pinned'
    ? { rejectUnauthorized: false }
    : { rejectUnauthorized: true, ...(trust.ca && { ca: [...trust.ca] }) };

/** To be called before anything is sent. @throws LockstepError `coordinator-refused` */
export function checkPinned(trust: Trust, socket: TLSSocket, url: URL): void {
  if (trust.kind !== 'pinned') return;
  const found = socket.getPeerCertificate().fingerprint256;
  if (found === trust.fingerprint) return;
  throw new LockstepError(
    'coordinator-refused',
    `The certificate of ${url.host} has the fingerprint ${found}, not ${trust.fingerprint}; no token was sent.`,
    'If the coordinator was started with another certificate, pass the fingerprint that it shows. Else somebody stands in between.',
  );
}

/** What to do about a TLS handshake that failed; undefined when another try may succeed. */
export function explainTls(error: Error, trust: Trust, socket: TLSSocket, url: URL): LockstepError | undefined {
  if (trust.kind === 'authorities' && socket.authorizationError) {
    return new LockstepError(
      'coordinator-refused',
      `The certificate of ${url.host} is not trusted: ${error.message}.`,
      'Pass the fingerprint that the coordinator shows by --tls-fingerprint, or the certificate of its authority by --tls-ca.',
      { cause: error },
    );
  }
  if ((error as NodeJS.ErrnoException).code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
    return new LockstepError(
      'coordinator-refused',
      `${url.host} does not speak TLS.`,
      `Use ws://${url.host}, or start the coordinator with --tls-cert and --tls-key.`,
      { cause: error },
    );
  }
  return undefined;
}
