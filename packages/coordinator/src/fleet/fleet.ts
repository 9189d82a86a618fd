/**
 * The workers of a run and the steps that they do together, over real or simulated connections. The local pool adds up
 * and updates; if it has a part in the work, it computes like the others.
 */
import { LockstepError, type ParameterLayout, type Range, type ShardPlan } from '@lockstep/core';
import type { CloseReason, MessageOf, WorkerMessage } from '@lockstep/protocol';
import type { StepPlan, StepSums } from '@lockstep/worker';
import { dropArrived, takeAnswer } from './answers.ts';
import type { Clock } from './clock.ts';
import { Counters } from './counters.ts';
import { type Connection, Crew, LOCAL, type MemberFacts } from './crew.ts';
import { Ledger, type Owed } from './ledger.ts';
import { type Accumulator, LocalMember } from './local-member.ts';
import type { Member, MemberInfo, MembershipOptions, ReportedState } from './membership.ts';
import type { Link, Terms } from './peer.ts';
import { RangePlanner } from './range-planner.ts';
import type { Cause, Timing } from './step-machine.ts';
import { localReport, type StepReport, sharedReport } from './step-report.ts';
import { StepRun } from './step-run.ts';

/** What every worker is told, but for what the fleet knows itself. */
type JobTerms = Pick<Terms, 'job' | 'layoutHash' | 'partitions' | 'checkSketch'>;

export interface FleetOptions {
  readonly plan: ShardPlan;
  /** Of the parameters and the sum vectors. */
  readonly layout: Pick<ParameterLayout, 'numWeights' | 'numParameters' | 'sumLength'>;
  /** Slices of vectors end at multiples of it. */
  readonly sliceUnit: number;
  /** Entries of a remote answer in the format `topk`; undefined in runs without it. */
  readonly numEntries: number | undefined;
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
  readonly onStep: (report: StepReport) => void;
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

/** A member that owes an answer for so long is sent away. */
const MAX_OWING_MS = 5 * 60_000;
/** Sent and not taken yet, beside two parameter vectors. */
const MAX_BUFFERED_BYTES = 16 * 2 ** 20;

export class Fleet {
  /** Shards that were given to somebody else than planned, by cause. */
  readonly reassigned = new Counters();
  readonly #options: FleetOptions;
  readonly #crew: Crew;
  readonly #planner: RangePlanner;
  readonly #local: LocalMember;
  readonly #ledger: Ledger<StepRun>;
  /** Kinds of engines whose gradients were used. */
  readonly #engines = new Set<string>();
  #numAssignments = 0;
  #current: StepRun | undefined;
  /** Called when members may have become available, or too few. */
  #onChange: (() => void) | undefined;

  constructor(options: FleetOptions) {
    const { clock, membership, local, plan } = options;
    this.#options = options;
    this.#local = new LocalMember(options.pool);
    this.#planner = new RangePlanner(plan.numShards, ({ id }, shards) => {
      this.#crew.send(id, { type: 'hold', shards: [...shards] });
    });
    this.#crew = new Crew(
      { clock, membership, local, terms: () => this.#terms() },
      {
        report: ({ id, info }, state, reason) => options.report({ kind: 'member', id, info, state, reason }),
        available: (member) => this.#offer(member),
        gone: (id) => {
          for (const owed of this.#ledger.forget(id)) dropArrived(owed, options);
        },
        lost: (id) => {
          this.#onChange?.();
          this.#current?.remove(id);
        },
        result: (id, message, payload) => this.#result(id, message, payload),
        failed: (id, message) => this.#failed(id, message),
        tick: () => this.#tick(),
      },
    );
    this.#ledger = new Ledger(this.#crew);
  }

  /** Messages that were refused, connections that were ended, and partial sums that were not needed, by reason. */
  get refused(): Counters {
    return this.#crew.refused;
  }

  /** Whether a step could begin. */
  get isReady(): boolean {
    return this.#crew.numReady >= this.#options.minWorkers;
  }

  /** Everybody who takes part, for people. */
  get members(): MemberFacts[] {
    return this.#crew.facts(this.#planner.current);
  }

  /** Which kinds of engines have computed gradients that were used, for people. */
  get engines(): string[] {
    return [...this.#engines].sort();
  }

  /** Of messages to and from remote workers. */
  get bytes(): { readonly sent: number; readonly received: number } {
    return this.#crew.bytes;
  }

  /** Takes a worker's connection. */
  connect(link: Link): Connection {
    return this.#crew.connect(link);
  }

  /** Says goodbye to everybody. */
  close(code: CloseReason, reason: string): void {
    this.#crew.close(code, reason);
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
      if (this.#crew.available.every(({ id }) => id === LOCAL)) {
        sums.push(...(await this.#localSteps(rest, clipNorm)));
        break;
      }
      const done = await this.#step(rest[0]!, clipNorm, signal);
      if (done) sums.push(done);
    }
    return sums;
  }

  async #localSteps(plans: readonly StepPlan[], clipNorm: number | undefined): Promise<StepSums[]> {
    const { pool, clock, plan, onStep } = this.#options;
    const started = clock.now();
    const sums = await pool.step(plans, clipNorm);
    this.#note(LOCAL);
    const ms = (clock.now() - started) / plans.length;
    const startedAt = clock.origin + started;
    onStep(localReport(plans[0]!, plans.length, plan.numShards, startedAt, ms, pool.marks(plans.length)));
    return sums;
  }

  /** One step in which others take part. Returns undefined when it was given up. */
  async #step(
    plan: StepPlan,
    clipNorm: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<StepSums | undefined> {
    const { pool, clock, onStep } = this.#options;
    const step = this.#createStep(plan, clipNorm);
    const giveUp = (): void => step.giveUp();
    signal?.addEventListener('abort', giveUp);
    this.#current = step;
    try {
      const members = this.#crew.available;
      step.begin(this.#planner.next(members), members);
      const isComplete = await step.ended;
      this.#crew.stepped(step.participants);
      await step.finish();
      if (!isComplete) return undefined;
      for (const { member } of step.answers) this.#note(member);
      const gathered = clock.now();
      const sums = await pool.update(plan, [...step.machine.values.values()], clipNorm, step.updatedTo);
      const { origin } = clock;
      onStep(
        sharedReport({
          plan,
          startedAt: origin + step.startedAt,
          broadcastAt: origin + step.broadcastAt,
          gatheredAt: origin + gathered,
          endedAt: origin + clock.now(),
          answers: step.answers,
          marks: pool.marks(1),
        }),
      );
      return sums;
    } finally {
      this.#current = undefined;
      signal?.removeEventListener('abort', giveUp);
      await step.finish();
      pool.release([...step.machine.values.values()]);
    }
  }

  /** A member's gradients were used. */
  #note(id: string): void {
    const info = this.#crew.get(id)?.info;
    if (!info) return;
    const { engine, device, runtime } = info;
    this.#engines.add(`${engine} on ${device}${runtime === 'node' ? '' : ` in a ${runtime}`}`);
  }

  #createStep(plan: StepPlan, clipNorm: number | undefined): StepRun {
    return new StepRun(plan, clipNorm, {
      ...this.#options,
      crew: this.#crew,
      local: this.#local,
      ledger: this.#ledger,
      nextAssignment: () => ++this.#numAssignments,
      refused: this.refused,
      onReassigned: (runStep, member, range, cause) => {
        this.reassigned.add(cause, range.to - range.from);
        this.#options.report({ kind: 'reassigned', runStep, member, range, cause });
      },
    });
  }

  /** Waits until enough members are ready. Returns false when the signal was aborted. */
  async #enough(signal: AbortSignal | undefined): Promise<boolean> {
    const { minWorkers, joinTimeoutMs, report, clock } = this.#options;
    const started = clock.now();
    let said: number | undefined;
    while (!signal?.aborted) {
      const { numReady, available } = this.#crew;
      if (numReady >= minWorkers && available.length > 0) return true;
      const left = started + joinTimeoutMs - clock.now();
      if (left <= 0) throw this.#workersMissing();
      if (said !== numReady) report({ kind: 'waiting', ready: numReady, needed: minWorkers });
      said = numReady;
      await this.#change(left, signal);
    }
    return false;
  }

  /** Waits for a change among the members, at most so long. */
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

  /** A member may have nothing to do. */
  #offer(member: Member | undefined): void {
    if (member?.state.name !== 'ready' || member.owes > 0) return;
    this.#onChange?.();
    this.#current?.add(member);
  }

  #result(id: string, message: MessageOf<WorkerMessage, 'result'>, payload: Uint8Array): void {
    const { assignment } = message;
    const owed = this.#ledger.get(assignment);
    if (owed?.member !== id) {
      const { slice } = message;
      const isRest = slice && this.#ledger.isSpent(assignment, id, slice, slice.to >= this.#options.layout.sumLength);
      if (!isRest) this.#refuseUnasked(id);
      return;
    }
    const taken = this.#take(owed, message, payload);
    // The worker waits for it: only then it knows what it holds back.
    if (owed.step.plan.wire === 'topk') this.#crew.send(id, { type: 'outcome', assignment, taken });
  }

  /** Takes an answer that was owed, or a slice of it. Returns whether anything of it counts. */
  #take(owed: Owed<StepRun>, message: MessageOf<WorkerMessage, 'result'>, payload: Uint8Array): boolean {
    const { layout, plan, clock } = this.#options;
    const { assignment, step, member } = owed;
    const { computeMs, startedAt, slice } = message;
    const terms = { ...this.#options, numShards: plan.numShards, refused: this.refused };
    const taken = takeAnswer(owed, message, payload, terms);
    if (taken.kind === 'slice') {
      step.advance();
      return true;
    }
    const ms = this.#ledger.settle(clock.now(), owed);
    if (taken.kind === 'refused') {
      if (slice && slice.to < layout.sumLength) this.#ledger.spend(owed, slice.to);
      this.#refuse(owed, taken.reason);
      return false;
    }
    this.#ledger.measure(owed, ms, computeMs);
    if (step.isOpen(assignment)) step.answer(owed, taken.values, computeMs, startedAt);
    else this.#offer(this.#crew.get(member));
    return taken.values.size > 0;
  }

  /** An answer that nobody asked for. */
  #refuseUnasked(id: string): void {
    this.refused.add('not assigned');
    this.#crew.strike(id, 'its answer was refused: not assigned');
  }

  /** An answer that cannot be taken. */
  #refuse({ assignment, member, step }: Owed<StepRun>, reason: string): void {
    this.refused.add(reason);
    const sentence = `its answer was refused: ${reason}`;
    if (step.isOpen(assignment)) step.failed(assignment, reason === 'not finite' ? reason : 'refused', sentence);
    else this.#crew.strike(member, sentence);
  }

  #failed(id: string, { assignment, reason }: MessageOf<WorkerMessage, 'failed'>): void {
    const owed = this.#ledger.get(assignment);
    if (owed?.member !== id) {
      this.#refuseUnasked(id);
      return;
    }
    dropArrived(owed, this.#options);
    const ms = this.#ledger.settle(this.#options.clock.now(), owed);
    const { step, cancelled } = owed;
    if (cancelled) this.#ledger.measureAtLeast(owed, ms);
    if (step.isOpen(assignment)) {
      if (cancelled) step.withdraw(assignment);
      else step.failed(assignment, 'failed', reason);
      return;
    }
    // It was busy with an earlier step: now it can help in this one.
    if (!cancelled) this.#crew.strike(id, reason);
    this.#offer(this.#crew.get(id));
  }

  #tick(): void {
    const { clock, joinTimeoutMs } = this.#options;
    const now = clock.now();
    for (const { member, sentAt } of this.#ledger.all) {
      if (member === LOCAL || now - sentAt <= MAX_OWING_MS) continue;
      this.#crew.expel(member, 'silent', `it has owed an answer for ${MAX_OWING_MS / 1000} s`);
    }
    const step = this.#current;
    if (!step?.machine.isAbandoned) return;
    // In the middle of a step that nobody is left to finish, the wait for members has the same bound.
    if (now - Math.max(step.startedAt, this.#ledger.lastAnswerAt) > joinTimeoutMs) step.fail(this.#workersMissing());
  }

  #terms(): Terms {
    const { layout, plan, membership, terms } = this.#options;
    const { heartbeatMs, heartbeatMisses } = membership;
    const maxBufferedBytes = MAX_BUFFERED_BYTES + 2 * layout.sumLength * Float32Array.BYTES_PER_ELEMENT;
    return { ...terms(), numShards: plan.numShards, heartbeatMs, heartbeatMisses, maxBufferedBytes };
  }

  #workersMissing(): LockstepError {
    const { minWorkers, joinTimeoutMs } = this.#options;
    return new LockstepError(
      'workers-missing',
      `${this.#crew.numReady} of ${minWorkers} workers were ready after waiting for ${joinTimeoutMs / 1000} s.`,
      'Start workers with lockstep join, lower --min-workers, or raise --join-timeout; then go on with --resume latest.',
    );
  }
}
