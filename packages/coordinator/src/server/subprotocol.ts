/** What is said in `Sec-WebSocket-Protocol`: the version of the wire protocol and, by browsers, the token. */

const VERSION = /^lockstep\.\d{1,6}$/;

/** Names that a client offers, in its order. */
export function offeredSubprotocols(header: string | undefined): string[] {
  return (header ?? '').split(',').map((name) => name.trim());
}

/** Those among the offered names that are versions of Lockstep's protocol. */
export function offeredVersions(header: string | undefined): string[] {
  return offeredSubprotocols(header).filter((name) => VERSION.test(name));
}
