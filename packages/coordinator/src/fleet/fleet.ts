/**
 * The workers of a run and the steps that they do together: carries out what the membership and the step decide, over
 * real or simulated connections. The local pool adds up and updates; if it has a part in the work, it computes like the
 * others.
 */
import { coveringNodes, type Range, type ShardPlan } from '@lockstep/core';
import { type CloseReason, encodeFrame, type MessageOf, type WorkerMessage } from '@lockstep/protocol';
import type { PartialSum, StepPlan, StepSums, WorkerPool } from '@lockstep/worker';
import type { Clock } from './clock.ts';
import { Counters } from './counters.ts';
import { diverged, workersMissing } from './failures.ts';
import { LocalMember, type LocalOutcome } from './local-member.ts';
import {
  candidateOf,
  type MemberInfo,
  Membership,
  type MembershipAction,
  type MembershipOptions,
  type ReportedState,
} from './membership.ts';
import { type Link, Peer, type Terms } from './peer.ts';
import { missingShards, RangePlanner } from './range-planner.ts';
import { type Cause, type StepAction, StepMachine, type Timing } from './step-machine.ts';

export const LOCAL = 'local';

/** What the fleet uses of the local pool. */
export type Accumulator = Pick<
  WorkerPool,
  'step' | 'gradient' | 'cancel' | 'accept' | 'isFinite' | 'release' | 'update' | 'parameters'
>;

/** What every worker is told, but for what the fleet knows itself. */
export type JobTerms = Pick<Terms, 'job' | 'layoutHash' | 'partitions'>;

export interface FleetOptions {
  readonly plan: ShardPlan;
  /** Elements of a sum vector. */
  readonly sumLength: number;
  /** Bytes of one sample with its label. */
  readonly sampleBytes: number;
  readonly pool: Accumulator;
  /** The local worker as a member; undefined when it only adds up. */
  readonly local: MemberInfo | undefined;
  /** Members without which no step begins. */
  readonly minWorkers: number;
  /** How long to wait for them. */
  readonly joinTimeoutMs: number;
  /** Called when the first worker connects: it needs a look at all data. */
  readonly terms: () => JobTerms;
  readonly clock: Clock;
  readonly membership: MembershipOptions;
  readonly timing: Timing;
  readonly report: (report: FleetReport) => void;
}

/** What people are told. */
export type FleetReport =
  | {
      readonly kind: 'member';
      readonly id: string;
      readonly info: MemberInfo;
      readonly state: ReportedState;
      readonly reason: string;
    }
  | { readonly kind: 'waiting'; readonly ready: number; readonly needed: number }
  | {
      readonly kind: 'reassigned';
      readonly runStep: number;
      readonly member: string;
      readonly range: Range;
      readonly cause: Cause;
    };

/** One member, for people and dashboards. Bytes are those of the messages, as the coordinator sees them. */
export interface MemberStatus extends MemberInfo {
  readonly id: string;
  readonly kind: 'local' | 'remote';
  readonly state: 'connected' | 'joining' | 'ready' | 'quarantined';
  readonly reason: string | undefined;
  readonly shards: Range | undefined;
  readonly msPerShard: number | undefined;
  readonly overheadMs: number | undefined;
  readonly roundTripMs: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** An assignment that was not answered yet, of this step or an earlier one. */
interface Owed {
  readonly member: string;
  readonly step: CurrentStep;
  readonly range: Range;
  readonly generation: number;
  readonly sentAt: number;
  /** Whether the member had all data, so that the time it takes says how fast it is. */
  readonly isMeasure: boolean;
  cancelled: boolean;
}

interface CurrentStep {
  readonly plan: StepPlan;
  readonly startedAt: number;
  readonly machine: StepMachine<PartialSum>;
  readonly participants: Set<string>;
  /** Ends it: true when it is complete, false when it is given up. */
  readonly end: (complete: boolean) => void;
  readonly fail: (error: Error) => void;
  /** Made when the first remote member needs it. */
  parameters: Uint8Array | undefined;
}

/** What a connection may do. */
export interface Connection {
  receive(bytes: Uint8Array): void;
  closed(reason: string): void;
}

/** Time that fetching is granted: half a megabyte a second. */
const GRACE_MS_PER_BYTE = 2_000 / 2 ** 20;
/** A member that owes an answer for so long is sent away. */
const MAX_OWING_MS = 5 * 60_000;
/** Sent and not taken yet, beside two parameter vectors. */
const MAX_BUFFERED_BYTES = 16 * 2 ** 20;

export class Fleet {
  /** Messages that were refused, connections that were ended, and partial sums that were not needed, by reason. */
  readonly refused = new Counters();
  /** Shards that were given to somebody else than planned, by cause. */
  readonly reassigned = new Counters();
  readonly #options: FleetOptions;
  readonly #membership: Membership;
  readonly #planner: RangePlanner;
  readonly #local: LocalMember;
  readonly #peers = new Map<string, Peer>();
  readonly #owed = new Map<number, Owed>();
  /** When each member answered last. */
  readonly #answeredAt = new Map<string, number>();
  #terms: Terms | undefined;
  #numPeers = 0;
  #numAssignments = 0;
  #current: CurrentStep | undefined;
  #stopStepTimer: (() => void) | undefined;
  #stopTicking: (() => void) | undefined;
  /** Called when members may have become available. */
  #onChange: (() => void) | undefined;
  #goodbye: { readonly code: CloseReason; readonly reason: string } | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#membership = new Membership(options.membership);
    this.#local = new LocalMember(options.pool);
    this.#planner = new RangePlanner(options.plan.numShards, ({ id }, shards) => {
      this.#peers.get(id)?.send({ type: 'hold', shards: [...shards] });
    });
    if (options.local) {
      this.#membership.connect(this.#now, LOCAL, 'local');
      this.#membership.ready(this.#now, LOCAL, options.local, '');
    }
    this.#tick();
  }

  get #now(): number {
    return this.#options.clock.now();
  }

  /** Whether a step could begin. */
  get isReady(): boolean {
    return this.#membership.numReady >= this.#options.minWorkers;
  }

  /** Everybody who takes part, for people. */
  get members(): MemberStatus[] {
    const ranges = this.#planner.current;
    return this.#membership.all.map(({ id, kind, info, state, speed, roundTripMs }) => {
      const peer = this.#peers.get(id);
      return {
        id,
        kind,
        ...info,
        state: state.name,
        reason: state.name === 'quarantined' ? state.reason : undefined,
        shards: ranges.get(id),
        msPerShard: speed?.msPerShard,
        overheadMs: speed?.overheadMs,
        roundTripMs,
        bytesSent: peer?.bytesSent ?? 0,
        bytesReceived: peer?.bytesReceived ?? 0,
      };
    });
  }

  /** Takes a worker's connection. */
  connect(link: Link): Connection {
    const id = `worker-${++this.#numPeers}`;
    const peer = new Peer(id, link, this.#agreed(), {
      hello: (info) => this.#do(this.#membership.hello(this.#now, id, info)),
      ready: (info) => this.#ready(id, info),
      result: (message, payload) => this.#result(id, message, payload),
      failed: (message) => this.#failed(id, message),
      pong: (sentAt) => this.#membership.pong(this.#now, id, sentAt),
      holds: (shards) => {
        for (const shard of shards) this.#membership.get(id)?.held?.add(shard);
      },
      violated: (code, reason) => {
        this.refused.add(code);
        this.#expel(id, code, reason);
      },
    });
    if (this.#goodbye) {
      peer.close(this.#goodbye.code, this.#goodbye.reason);
      return { receive: () => {}, closed: () => {} };
    }
    this.#peers.set(id, peer);
    this.#membership.connect(this.#now, id, 'remote');
    return {
      receive: (bytes) => {
        this.#membership.heard(this.#now, id);
        peer.receive(bytes);
      },
      closed: (reason) => {
        peer.closed();
        this.#gone(id, reason);
      },
    };
  }

  /**
   * Does consecutive steps, over all shards.
   * @returns the sums of each step, in order; fewer than asked when the signal was aborted: a step in which others take
   *   part is given up then
   * @throws LockstepError `workers-missing`, `diverged`, or what the local pool throws
   */
  async steps(
    plans: readonly StepPlan[],
    clipNorm: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<StepSums[]> {
    const sums: StepSums[] = [];
    while (sums.length < plans.length && (await this.#enough(signal))) {
      const rest = plans.slice(sums.length);
      // When nobody else takes part, the threads go from step to step by themselves.
      if (this.#membership.available.every(({ id }) => id === LOCAL)) {
        sums.push(...(await this.#options.pool.step(rest, clipNorm)));
        break;
      }
      const done = await this.#step(rest[0]!, clipNorm, signal);
      if (done) sums.push(done);
    }
    return sums;
  }

  /** Says goodbye to everybody. */
  close(code: CloseReason, reason: string): void {
    this.#goodbye = { code, reason };
    this.#stopTicking?.();
    this.#stopStepTimer?.();
    for (const peer of this.#peers.values()) peer.close(code, reason);
    this.#peers.clear();
  }

  #agreed(): Terms {
    const { heartbeatMs, heartbeatMisses } = this.#options.membership;
    const { sumLength, plan } = this.#options;
    this.#terms ??= {
      ...this.#options.terms(),
      numShards: plan.numShards,
      heartbeatMs,
      heartbeatMisses,
      maxBufferedBytes: MAX_BUFFERED_BYTES + 2 * sumLength * Float32Array.BYTES_PER_ELEMENT,
    };
    return this.#terms;
  }

  /** Waits until enough members are ready. Returns false when the signal was aborted. */
  async #enough(signal: AbortSignal | undefined): Promise<boolean> {
    const { minWorkers, joinTimeoutMs, report } = this.#options;
    const started = this.#now;
    let said: number | undefined;
    while (!signal?.aborted) {
      const { numReady, available } = this.#membership;
      if (numReady >= minWorkers && available.length > 0) return true;
      const left = started + joinTimeoutMs - this.#now;
      if (left <= 0) throw workersMissing(numReady, minWorkers, joinTimeoutMs);
      if (said !== numReady) report({ kind: 'waiting', ready: numReady, needed: minWorkers });
      said = numReady;
      await this.#change(left, signal);
    }
    return false;
  }

  /** Waits for a change of the membership, at most so long. */
  async #change(ms: number, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        stop();
        signal?.removeEventListener('abort', wake);
        this.#onChange = undefined;
        resolve();
      };
      const stop = this.#options.clock.after(ms, wake);
      signal?.addEventListener('abort', wake);
      this.#onChange = wake;
    });
  }

  /** One step in which others take part. Returns undefined when it was given up. */
  async #step(
    plan: StepPlan,
    clipNorm: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<StepSums | undefined> {
    const { pool } = this.#options;
    const machine = this.#machine();
    const giveUp = (): void => this.#current?.end(false);
    signal?.addEventListener('abort', giveUp);
    try {
      const complete = await new Promise<boolean>((end, fail) => {
        const participants = new Set<string>();
        this.#current = { plan, startedAt: this.#now, machine, participants, end, fail, parameters: undefined };
        const members = this.#membership.available;
        this.#perform(machine.begin(this.#now, this.#planner.next(members), members.map(candidateOf)));
      });
      this.#membership.stepped(this.#current!.participants);
      await this.#finish();
      return complete ? await pool.update(plan, [...machine.values.values()], clipNorm) : undefined;
    } finally {
      signal?.removeEventListener('abort', giveUp);
      await this.#finish();
      pool.release([...machine.values.values()]);
    }
  }

  /** Ends what is still under way for the current step. */
  async #finish(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    this.#stopStepTimer?.();
    for (const [assignment, owed] of this.#owed) {
      if (owed.step === current && !owed.cancelled) this.#cancel(assignment);
    }
    // The update needs the threads that still compute what others were faster with.
    await this.#local.idle;
  }

  #machine(): StepMachine<PartialSum> {
    return new StepMachine({
      numShards: this.#options.plan.numShards,
      timing: this.#options.timing,
      arbiter: LOCAL,
      nextAssignment: () => ++this.#numAssignments,
      graceMs: (member, range) => this.#missingBytes(member, range) * GRACE_MS_PER_BYTE,
    });
  }

  /** Of the data that a member does not hold. */
  #missingBytes(id: string, range: Range): number {
    const member = this.#membership.get(id);
    if (!member) return 0;
    const { plan, sampleBytes } = this.#options;
    return missingShards(member, range).reduce((sum, shard) => sum + plan.shardSize(shard) * sampleBytes, 0);
  }

  /** Carries out what the step decides. */
  #perform(actions: readonly StepAction<PartialSum>[]): void {
    const current = this.#current;
    if (!current) return;
    for (const action of actions) {
      switch (action.kind) {
        case 'assign':
          this.#assign(current, action);
          break;
        case 'cancel':
          this.#cancel(action.assignment);
          break;
        case 'discard':
          this.refused.add('duplicate');
          this.#options.pool.release([action.value]);
          break;
        case 'strike':
          this.#do(this.#membership.strike(this.#now, action.member, action.reason));
          break;
        case 'commit':
          current.end(true);
          return;
        default:
          action satisfies never;
      }
    }
    this.#startStepTimer();
  }

  #startStepTimer(): void {
    this.#stopStepTimer?.();
    this.#stopStepTimer = undefined;
    const at = this.#current?.machine.nextDeadline;
    if (at === undefined) return;
    this.#stopStepTimer = this.#options.clock.after(Math.max(0, at - this.#now), () => {
      if (this.#current) this.#perform(this.#current.machine.tick(this.#now));
    });
  }

  #assign(
    current: CurrentStep,
    { assignment, member: id, range, cause }: Extract<StepAction<PartialSum>, { kind: 'assign' }>,
  ): void {
    const { plan } = current;
    const member = this.#membership.get(id);
    // It was sent away while the actions before this one were carried out; the step knows that already.
    if (!member && id !== LOCAL) return;
    if (cause !== 'planned') {
      this.reassigned.add(cause, range.to - range.from);
      this.#options.report({ kind: 'reassigned', runStep: plan.runStep, member: id, range, cause });
    }
    current.participants.add(id);
    if (member) member.owes++;
    this.#owed.set(assignment, {
      member: id,
      step: current,
      range,
      generation: this.#membership.generation,
      sentAt: this.#now,
      isMeasure: this.#missingBytes(id, range) === 0,
      cancelled: false,
    });
    if (id === LOCAL) {
      this.#local.assign(assignment, plan, range, (outcome) => this.#localOutcome(assignment, outcome));
      return;
    }
    this.#sendParameters(current, id);
    const { epoch, step, runStep } = plan;
    const { generation } = this.#membership;
    const work = { assignment, generation, epoch, step, runStep, from: range.from, to: range.to };
    this.#peers.get(id)?.send({ type: 'work', ...work });
  }

  /** Sends the step's parameters to a peer that does not have them. */
  #sendParameters(current: CurrentStep, id: string): void {
    const { runStep } = current.plan;
    const peer = this.#peers.get(id);
    if (!peer || peer.parametersOf === runStep) return;
    if (!current.parameters) {
      const { buffer, byteOffset, byteLength } = this.#options.pool.parameters(runStep);
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      current.parameters = encodeFrame({ type: 'parameters', runStep }, [bytes]);
    }
    peer.parametersOf = runStep;
    peer.sendFrame(current.parameters);
  }

  #cancel(assignment: number): void {
    const owed = this.#owed.get(assignment);
    if (!owed) return;
    owed.cancelled = true;
    if (owed.member === LOCAL) this.#local.cancel(assignment);
    else this.#peers.get(owed.member)?.send({ type: 'cancel', assignment });
  }

  #localOutcome(assignment: number, outcome: LocalOutcome): void {
    const owed = this.#owed.get(assignment)!;
    const { step, sentAt } = owed;
    const roundTripMs = this.#now - Math.max(sentAt, this.#answeredAt.get(LOCAL) ?? 0);
    this.#answeredAt.set(LOCAL, this.#now);
    const isCurrent = step === this.#current;
    // The pool has tried several times, and a fault of this machine would not stop with this step.
    if (outcome.kind === 'failed') {
      step.fail(outcome.error);
      return;
    }
    if (outcome.kind === 'cancelled') {
      this.#settle(assignment, undefined);
      if (isCurrent) this.#perform(step.machine.withdraw(this.#now, assignment));
      return;
    }
    const { partials } = outcome;
    this.#settle(assignment, { roundTripMs, computeMs: roundTripMs });
    const { pool } = this.#options;
    if (!isCurrent) {
      pool.release(partials);
      return;
    }
    if (!partials.every((partial) => pool.isFinite(partial))) {
      pool.release(partials);
      step.fail(diverged(step.plan));
      return;
    }
    const values = new Map(partials.map((partial) => [partial.node, partial]));
    this.#perform(step.machine.answer(this.#now, assignment, values));
  }

  /** A member has answered an assignment, in whatever way. */
  #settle(assignment: number, times: { readonly roundTripMs: number; readonly computeMs: number } | undefined): void {
    const owed = this.#owed.get(assignment);
    if (!owed) return;
    this.#owed.delete(assignment);
    const member = this.#membership.get(owed.member);
    if (!member) return;
    member.owes--;
    const numShards = owed.range.to - owed.range.from;
    if (times && owed.isMeasure) this.#membership.measured(owed.member, { numShards, ...times });
    // It was busy with an earlier step: now it can help in this one.
    if (owed.step !== this.#current) this.#offer(owed.member);
  }

  /** Tells that a member may have nothing to do. */
  #offer(id: string): void {
    const member = this.#membership.get(id);
    if (member?.state.name !== 'ready' || member.owes > 0) return;
    this.#onChange?.();
    if (this.#current) this.#perform(this.#current.machine.add(this.#now, candidateOf(member)));
  }

  #ready(id: string, info: MemberInfo): void {
    const { local } = this.#options;
    const sameEngine = !local || (local.engine === info.engine && local.device === info.device);
    const reason = sameEngine
      ? 'joined'
      : `joined; it computes with ${info.engine} on ${info.device}, so the last bits of the result may differ`;
    this.#do(this.#membership.ready(this.#now, id, info, reason));
  }

  #result(id: string, message: MessageOf<WorkerMessage, 'result'>, payload: Uint8Array): void {
    const { pool, sumLength, plan } = this.#options;
    const { assignment, nodes, computeMs } = message;
    const owed = this.#owed.get(assignment);
    if (owed?.member !== id) {
      this.#refuse(id, undefined, 'not assigned');
      return;
    }
    const roundTripMs = this.#now - Math.max(owed.sentAt, this.#answeredAt.get(id) ?? 0);
    this.#answeredAt.set(id, this.#now);
    const refusal = refusalOf(owed, message, payload, sumLength, plan.numShards);
    if (refusal !== undefined) {
      this.#refuse(id, assignment, refusal);
      return;
    }

    const { machine } = owed.step;
    const isOpen = owed.step === this.#current && machine.isOpen(assignment);
    const values = new Map<number, PartialSum>();
    const size = payload.length / nodes.length;
    for (const [i, node] of nodes.entries()) {
      if (!isOpen || !machine.wants(node)) this.refused.add('duplicate');
      else values.set(node, pool.accept(node, payload.subarray(i * size, (i + 1) * size)));
    }
    if (![...values.values()].every((value) => pool.isFinite(value))) {
      pool.release([...values.values()]);
      this.#refuse(id, assignment, 'not finite');
      return;
    }
    this.#settle(assignment, { roundTripMs, computeMs });
    if (isOpen) this.#perform(machine.answer(this.#now, assignment, values));
  }

  /** An answer that cannot be taken. */
  #refuse(id: string, assignment: number | undefined, reason: string): void {
    this.refused.add(reason);
    const owed = assignment === undefined ? undefined : this.#owed.get(assignment);
    const sentence = `its answer was refused: ${reason}`;
    if (assignment !== undefined) this.#settle(assignment, undefined);
    if (assignment !== undefined && owed?.step === this.#current) {
      const cause = reason === 'not finite' ? 'not finite' : 'refused';
      this.#perform(owed!.step.machine.fail(this.#now, assignment, cause, sentence));
    } else this.#do(this.#membership.strike(this.#now, id, sentence));
  }

  #failed(id: string, { assignment, reason }: MessageOf<WorkerMessage, 'failed'>): void {
    const owed = this.#owed.get(assignment);
    if (owed?.member !== id) {
      this.#refuse(id, undefined, 'not assigned');
      return;
    }
    this.#settle(assignment, undefined);
    const { step, cancelled } = owed;
    if (step !== this.#current) {
      if (!cancelled) this.#do(this.#membership.strike(this.#now, id, reason));
      return;
    }
    const { machine } = step;
    this.#perform(
      cancelled ? machine.withdraw(this.#now, assignment) : machine.fail(this.#now, assignment, 'failed', reason),
    );
  }

  /** Carries out what the membership decides. */
  #do(actions: readonly MembershipAction[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'ping':
          this.#peers.get(action.member)?.send({ type: 'ping', sentAt: this.#now });
          break;
        case 'expel':
          this.refused.add(action.code);
          this.#expel(action.member, action.code, action.reason);
          break;
        case 'report': {
          const { id, info } = action.member;
          this.#options.report({ kind: 'member', id, info, state: action.state, reason: action.reason });
          if (action.state === 'quarantined') this.#lose(id);
          if (action.state === 'ready') this.#offer(id);
          break;
        }
        default:
          action satisfies never;
      }
    }
    if (actions.length > 0) this.#onChange?.();
  }

  #expel(id: string, code: CloseReason, reason: string): void {
    const peer = this.#peers.get(id);
    this.#gone(id, reason);
    peer?.close(code, reason);
  }

  /** A member's connection has ended. */
  #gone(id: string, reason: string): void {
    this.#peers.delete(id);
    this.#answeredAt.delete(id);
    for (const [assignment, owed] of this.#owed) if (owed.member === id) this.#owed.delete(assignment);
    this.#do(this.#membership.left(this.#now, id, reason));
    this.#lose(id);
  }

  /** A member takes no part in this step any more. */
  #lose(id: string): void {
    if (this.#current) this.#perform(this.#current.machine.remove(this.#now, id));
  }

  #tick(): void {
    const { clock, membership, minWorkers, joinTimeoutMs } = this.#options;
    this.#stopTicking = clock.after(membership.heartbeatMs / 4, () => {
      this.#do(this.#membership.tick(this.#now));
      for (const { member, sentAt } of [...this.#owed.values()]) {
        if (member === LOCAL || this.#now - sentAt <= MAX_OWING_MS) continue;
        this.#expel(member, 'silent', `it has owed an answer for ${MAX_OWING_MS / 1000} s`);
      }
      const current = this.#current;
      // In the middle of a step that nobody is left to finish, the wait for members has the same bound.
      if (current?.machine.isAbandoned) {
        const since = Math.max(current.startedAt, ...this.#answeredAt.values());
        const { numReady } = this.#membership;
        if (this.#now - since > joinTimeoutMs) current.fail(workersMissing(numReady, minWorkers, joinTimeoutMs));
      }
      if (!this.#goodbye) this.#tick();
    });
  }
}

/** Why an answer is not one to the assignment; undefined when it is. */
function refusalOf(
  { generation, step, range }: Owed,
  message: MessageOf<WorkerMessage, 'result'>,
  payload: Uint8Array,
  sumLength: number,
  numShards: number,
): string | undefined {
  if (message.generation !== generation || message.runStep !== step.plan.runStep) return 'wrong generation';
  if (message.nodes.join() !== coveringNodes(range, numShards).join()) return 'other shards';
  const expected = message.nodes.length * sumLength * Float32Array.BYTES_PER_ELEMENT;
  return payload.length === expected ? undefined : 'wrong length';
}
