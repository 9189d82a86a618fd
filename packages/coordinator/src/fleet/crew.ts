/** The members of a run and their connections: carries out what the membership decides. */
import type { Range } from '@lockstep/core';
import type { CloseReason, CoordinatorMessage, MessageOf, WorkerMessage } from '@lockstep/protocol';
import type { Clock } from './clock.ts';
import { Counters } from './counters.ts';
import {
  type Member,
  type MemberInfo,
  Membership,
  type MembershipAction,
  type MembershipOptions,
  type ReportedState,
} from './membership.ts';
import { type Link, Peer, type Terms } from './peer.ts';
import type { Measurement } from './ranges.ts';

/** The local worker's name. */
export const LOCAL = 'local';

/** What a connection may do. */
export interface Connection {
  receive(bytes: Uint8Array): void;
  /** Part of a message has come, so long by now. Returns false when the peer may not send such a one: it is sent away. */
  pending(numBytes: number): boolean;
  closed(reason: string): void;
}

/** One member, for people and dashboards. Bytes are those of the messages, as the coordinator sees them. */
export interface MemberFacts extends MemberInfo {
  readonly id: string;
  readonly kind: 'local' | 'remote';
  readonly state: 'connected' | 'joining' | 'ready' | 'quarantined';
  readonly reason: string | undefined;
  readonly shards: Range | undefined;
  readonly roundTripMs: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

export interface CrewOptions {
  readonly clock: Clock;
  readonly membership: MembershipOptions;
  /** The local worker as a member; undefined when it only adds up. */
  readonly local: MemberInfo | undefined;
  /** Called when the first worker connects. */
  readonly terms: () => Terms;
}

/** What the crew tells. */
export interface CrewEvents {
  /** Tell people. */
  report(member: Member, state: ReportedState, reason: string): void;
  /** A member may have nothing to do: it is new, or back from quarantine. */
  available(member: Member): void;
  /** A member is gone: it answers nothing any more. */
  gone(id: string): void;
  /** A member, gone or not, is not to be counted on. */
  lost(id: string): void;
  result(id: string, message: MessageOf<WorkerMessage, 'result'>, payload: Uint8Array): void;
  failed(id: string, message: MessageOf<WorkerMessage, 'failed'>): void;
  /** Time has passed: a quarter of a heartbeat. */
  tick(): void;
}

export class Crew {
  /** Messages that were refused, and connections that were ended, by reason. */
  readonly refused = new Counters();
  readonly #options: CrewOptions;
  readonly #events: CrewEvents;
  readonly #membership: Membership;
  readonly #peers = new Map<string, Peer>();
  /** What had come from each peer when the clock ticked last. */
  readonly #heardBytes = new Map<string, number>();
  readonly #endedBytes = { sent: 0, received: 0 };
  #terms: Terms | undefined;
  #numPeers = 0;
  #stopTicking: () => void;
  #goodbye: { readonly code: CloseReason; readonly reason: string } | undefined;

  constructor(options: CrewOptions, events: CrewEvents) {
    this.#options = options;
    this.#events = events;
    this.#membership = new Membership(options.membership);
    if (options.local) {
      this.#membership.connect(this.#now, LOCAL, 'local');
      this.#membership.ready(this.#now, LOCAL, options.local, '');
    }
    this.#stopTicking = this.#startTicking();
  }

  get #now(): number {
    return this.#options.clock.now();
  }

  get numReady(): number {
    return this.#membership.numReady;
  }

  /** Ready members that owe nothing, in the order in which they came. */
  get available(): Member[] {
    return this.#membership.available;
  }

  /** Version of the set of members that may be given work. */
  get generation(): number {
    return this.#membership.generation;
  }

  get(id: string): Member | undefined {
    return this.#membership.get(id);
  }

  peer(id: string): Peer | undefined {
    return this.#peers.get(id);
  }

  /** Everybody who takes part. */
  facts(ranges: ReadonlyMap<string, Range>): MemberFacts[] {
    return this.#membership.all.map(({ id, kind, info, state, roundTripMs }) => {
      const peer = this.#peers.get(id);
      return {
        id,
        kind,
        ...info,
        state: state.name,
        reason: state.name === 'quarantined' ? state.reason : undefined,
        shards: ranges.get(id),
        roundTripMs,
        bytesSent: peer?.bytesSent ?? 0,
        bytesReceived: peer?.bytesReceived ?? 0,
      };
    });
  }

  /** Takes a worker's connection. */
  connect(link: Link): Connection {
    const id = `worker-${++this.#numPeers}`;
    this.#terms ??= this.#options.terms();
    const peer = new Peer(id, link, this.#terms, {
      hello: (info) => this.#do(this.#membership.hello(this.#now, id, info)),
      ready: (info) => this.#do(this.#membership.ready(this.#now, id, info, this.#welcome(info))),
      result: (message, payload) => this.#events.result(id, message, payload),
      failed: (message) => this.#events.failed(id, message),
      pong: (sentAt, at) => this.#membership.pong(this.#now, id, sentAt, at),
      holds: (shards) => {
        for (const shard of shards) this.#membership.get(id)?.held?.add(shard);
      },
      violated: (code, reason) => this.expel(id, code, reason),
    });
    if (this.#goodbye) {
      peer.close(this.#goodbye.code, this.#goodbye.reason);
      return { receive: () => {}, pending: () => true, closed: () => {} };
    }
    this.#peers.set(id, peer);
    this.#membership.connect(this.#now, id, 'remote');
    return {
      receive: (bytes) => {
        this.#membership.heard(this.#now, id);
        peer.receive(bytes);
      },
      pending: (numBytes) => {
        const isAllowed = peer.mayOwe(numBytes);
        if (!isAllowed) this.expel(id, 'malformed', `it sent ${numBytes} bytes in one message before it was ready`);
        return isAllowed;
      },
      closed: (reason) => {
        peer.closed();
        this.#lose(id, reason);
      },
    };
  }

  /** Of messages, over all connections, ended ones included. */
  get bytes(): { readonly sent: number; readonly received: number } {
    let { sent, received } = this.#endedBytes;
    for (const { bytesSent, bytesReceived } of this.#peers.values()) {
      sent += bytesSent;
      received += bytesReceived;
    }
    return { sent, received };
  }

  send(id: string, message: CoordinatorMessage): void {
    this.#peers.get(id)?.send(message);
  }

  /** Counts a failure against a member. */
  strike(id: string, reason: string): void {
    this.#do(this.#membership.strike(this.#now, id, reason));
  }

  measured(id: string, measurement: Measurement): void {
    this.#membership.measured(id, measurement);
  }

  /** A step was committed. @param participants who had a part in it */
  stepped(participants: ReadonlySet<string>): void {
    this.#membership.stepped(participants);
  }

  /** Ends a member's connection. */
  expel(id: string, code: CloseReason, reason: string): void {
    this.refused.add(code);
    const peer = this.#peers.get(id);
    this.#lose(id, reason);
    peer?.close(code, reason);
  }

  /** Says goodbye to everybody, and to whoever comes later. */
  close(code: CloseReason, reason: string): void {
    this.#goodbye = { code, reason };
    this.#stopTicking();
    for (const peer of this.#peers.values()) peer.close(code, reason);
    this.#peers.clear();
  }

  #welcome({ engine, device }: MemberInfo): string {
    const { local } = this.#options;
    return !local || (local.engine === engine && local.device === device)
      ? 'joined'
      : `joined; it computes with ${engine} on ${device}, so the last bits of the result may differ`;
  }

  #do(actions: readonly MembershipAction[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'ping':
          this.send(action.member, { type: 'ping', sentAt: this.#now });
          break;
        case 'expel':
          this.expel(action.member, action.code, action.reason);
          break;
        case 'report': {
          const { member, state, reason } = action;
          this.#events.report(member, state, reason);
          if (state === 'quarantined') this.#events.lost(member.id);
          if (state === 'ready') this.#events.available(member);
          break;
        }
        default:
          action satisfies never;
      }
    }
  }

  #lose(id: string, reason: string): void {
    const { bytesSent = 0, bytesReceived = 0 } = this.#peers.get(id) ?? {};
    this.#endedBytes.sent += bytesSent;
    this.#endedBytes.received += bytesReceived;
    this.#peers.delete(id);
    this.#heardBytes.delete(id);
    this.#events.gone(id);
    this.#do(this.#membership.left(this.#now, id, reason));
    this.#events.lost(id);
  }

  /** A long message on a slow line is no silence. */
  #listen(): void {
    for (const [id, { receivedBytes }] of this.#peers) {
      if (receivedBytes !== this.#heardBytes.get(id)) this.#membership.heard(this.#now, id);
      this.#heardBytes.set(id, receivedBytes);
    }
  }

  #startTicking(): () => void {
    const { clock, membership } = this.#options;
    return clock.after(membership.heartbeatMs / 4, () => {
      this.#listen();
      this.#do(this.#membership.tick(this.#now));
      this.#events.tick();
      if (!this.#goodbye) this.#stopTicking = this.#startTicking();
    });
  }
}
