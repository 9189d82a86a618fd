/** Addresses and host names: which are loopback, how they are written in a URL, and which one peers can dial. */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';

const MAPPED_IPV4 = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;
const HOST_HEADER = /^(?<host>[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i;
const ANY = ['0.0.0.0', '::'];

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** `[::1]` as `::1`. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** Whether only this machine can reach the host. A name other than `localhost` may mean anything, so it is not. */
export function isLoopback(host: string): boolean {
  const name = withoutBrackets(host).toLowerCase();
  if (isIP(name) === 0) return name === 'localhost';
  return loopback.check(name, isIPv6(name) ? 'ipv6' : 'ipv4');
}

/** The same text for the same peer, whether it came over IPv4 or over IPv4 mapped into IPv6. */
export function normalizeAddress(address: string): string {
  return address.replace(MAPPED_IPV4, '');
}

/** The host that a `Host` header names, in lower case and without brackets; undefined when it is not well-formed. */
export function hostOf(header: string | undefined): string | undefined {
  const host = HOST_HEADER.exec(header ?? '')?.groups?.host;
  return host === undefined ? undefined : withoutBrackets(host.toLowerCase());
}

/** A host to dial for one to listen on, as it is written in a URL. */
export function dialableHost(host: string): string {
  const name = withoutBrackets(host);
  const dialable = ANY.includes(name) ? (externalIPv4() ?? '127.0.0.1') : name;
  return isIPv6(dialable) ? `[${dialable}]` : dialable;
}

function externalIPv4(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}
