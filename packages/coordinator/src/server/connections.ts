/** The open TCP connections: how many, whose, and which of them have not sent a whole request yet. */
import type { Socket } from 'node:net';
import { normalizeAddress } from './address.ts';
import type { ServerLimits } from './limits.ts';
import type { RefusalReason } from './refusal.ts';

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  /** Ends the connection unless it sends a whole request before; undefined once it has. */
  deadline: NodeJS.Timeout | undefined;
}

/** Names a connection, the same for a TCP socket and the TLS socket over it; undefined when the peer is gone. */
function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** Address of the peer; undefined when it is gone. */
export function addressOf({ remoteAddress }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : normalizeAddress(remoteAddress);
}

export class Connections {
  readonly #limits: ServerLimits;
  readonly #onRefused: (reason: RefusalReason) => void;
  readonly #byPeer = new Map<string, Connection>();
  readonly #byAddress = new Map<string, Set<Connection>>();

  constructor(limits: ServerLimits, onRefused: (reason: RefusalReason) => void) {
    this.#limits = limits;
    this.#onRefused = onRefused;
  }

  /** Takes a new TCP connection in, or resets it when there are too many. Resetting is the answer that costs least. */
  admit(socket: Socket): boolean {
    // Resetting a socket whose peer has just reset it is an error, too. 'close' tells all there is to know.
    socket.on('error', () => {});
    const peer = peerOf(socket);
    const address = addressOf(socket);
    if (peer === undefined || address === undefined) {
      socket.destroy();
      return false;
    }
    if (!this.#hasRoom(address)) {
      this.#onRefused('limit');
      socket.resetAndDestroy();
      return false;
    }
    const connection: Connection = { socket, address, deadline: undefined };
    connection.deadline = setTimeout(() => {
      this.#onRefused('handshake');
      socket.destroy();
    }, this.#limits.handshakeMs);
    this.#byPeer.set(peer, connection);
    const siblings = this.#byAddress.get(address) ?? new Set();
    this.#byAddress.set(address, siblings.add(connection));
    socket.once('close', () => {
      clearTimeout(connection.deadline);
      this.#byPeer.delete(peer);
      siblings.delete(connection);
      if (siblings.size === 0) this.#byAddress.delete(address);
    });
    return true;
  }

  #hasRoom(address: string): boolean {
    const { maxConnections, maxConnectionsPerAddress, maxPendingHandshakes } = this.#limits;
    const siblings = [...(this.#byAddress.get(address) ?? [])];
    const numPending = siblings.filter(({ deadline }) => deadline !== undefined).length;
    return (
      this.#byPeer.size < maxConnections &&
      siblings.length < maxConnectionsPerAddress &&
      numPending < maxPendingHandshakes
    );
  }

  /** The connection has sent a whole request, or is refused before. @param socket the TCP socket, or the TLS socket over it */
  settle(socket: Socket): void {
    const peer = peerOf(socket);
    const connection = peer === undefined ? undefined : this.#byPeer.get(peer);
    if (connection === undefined) return;
    clearTimeout(connection.deadline);
    connection.deadline = undefined;
  }

  /** Ends those that have not sent a whole request. */
  destroyPending(): void {
    for (const { socket, deadline } of this.#byPeer.values()) if (deadline !== undefined) socket.destroy();
  }

  destroyAll(): void {
    for (const { socket } of this.#byPeer.values()) socket.destroy();
  }
}
