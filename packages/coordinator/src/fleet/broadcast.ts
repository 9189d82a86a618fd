/** A long frame for several peers, which is freed as soon as the last of them has taken it. */
import { releaseWhole } from '@lockstep/core';
import type { Peer } from './peer.ts';

export class Broadcast {
  readonly #frame: Uint8Array;
  /** Peers that have not taken it yet. */
  #numSending = 0;
  #hasEnded = false;

  constructor(frame: Uint8Array) {
    this.#frame = frame;
  }

  to(peer: Pick<Peer, 'sendFrame'>): void {
    this.#numSending++;
    peer.sendFrame(this.#frame, () => {
      this.#numSending--;
      this.#free();
    });
  }

  /** No other peer will be sent it. */
  end(): void {
    this.#hasEnded = true;
    this.#free();
  }

  #free(): void {
    if (this.#hasEnded && this.#numSending === 0) releaseWhole(this.#frame);
  }
}
