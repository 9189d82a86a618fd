/** How much one peer, and all together, may take of the server. */

export interface ServerLimits {
  /** Open connections of all peers; more are reset. */
  readonly maxConnections: number;
  /** Open connections of one address; more are reset. */
  readonly maxConnectionsPerAddress: number;
  /** Connections of one address that have not sent a whole request yet; more are reset. */
  readonly maxPendingHandshakes: number;
  /** From the connection to the end of its first request's headers, TLS included; also for each later request. */
  readonly handshakeMs: number;
  /** How long an HTTP connection is kept between two requests. */
  readonly keepAliveMs: number;
  /** How long a response may make no progress. An event stream has to say something more often. */
  readonly idleMs: number;
  /** Requests with a wrong token, or none where one is needed, that an address may make in `blockMs`. */
  readonly maxFailedTokens: number;
  /** How long failed tokens count, and how long an address with too many is turned away. */
  readonly blockMs: number;
  /** How long a peer that was refused, or that is being parted from at the end, may take to close its side. */
  readonly lingerMs: number;
}

export const defaultLimits: ServerLimits = {
  maxConnections: 1024,
  maxConnectionsPerAddress: 256,
  maxPendingHandshakes: 64,
  handshakeMs: 10_000,
  keepAliveMs: 5_000,
  idleMs: 60_000,
  maxFailedTokens: 10,
  blockMs: 60_000,
  lingerMs: 1_000,
};
