/** One step that several members do together: carries out what its state machine decides. */
import { changeFormat, coveringNodes, LockstepError, type Range, type ShardPlan } from '@lockstep/core';
import { encodeFrame } from '@lockstep/protocol';
import type { PartialSum, StepPlan } from '@lockstep/worker';
import { Broadcast } from './broadcast.ts';
import type { Clock } from './clock.ts';
import type { Counters } from './counters.ts';
import { type Crew, LOCAL } from './crew.ts';
import type { Ledger, Owed } from './ledger.ts';
import type { Accumulator, LocalMember, LocalOutcome } from './local-member.ts';
import { candidateOf, type Member } from './membership.ts';
import { missingShards } from './range-planner.ts';
import { type Cause, type StepAction, StepMachine, type Timing } from './step-machine.ts';
import type { Answer } from './step-report.ts';

/** Time that fetching is granted: half a megabyte a second. */
const GRACE_MS_PER_BYTE = 2_000 / 2 ** 20;

/** What a step works with. */
export interface StepTools {
  readonly plan: ShardPlan;
  readonly sampleBytes: number;
  readonly pool: Accumulator;
  readonly clock: Clock;
  readonly timing: Timing;
  readonly crew: Crew;
  readonly local: LocalMember;
  readonly ledger: Ledger<StepRun>;
  readonly nextAssignment: () => number;
  /** Partial sums that were not needed. */
  readonly refused: Counters;
  /** Shards go to somebody else than planned. */
  readonly onReassigned: (runStep: number, member: string, range: Range, cause: Cause) => void;
}

export class StepRun {
  readonly plan: StepPlan;
  readonly startedAt: number;
  readonly participants = new Set<string>();
  /** In the order in which they came. */
  readonly answers: Answer[] = [];
  /** When all first assignments were handed to the network. */
  broadcastAt = 0;
  readonly machine: StepMachine<PartialSum>;
  /** True when the step is complete, false when it was given up. */
  readonly ended: Promise<boolean>;
  readonly #tools: StepTools;
  #end!: (complete: boolean) => void;
  #fail!: (error: Error) => void;
  #isOver = false;
  #stopTimer: (() => void) | undefined;
  /** The parameters, and what changed in them; made when the first remote member needs one. */
  #parameters: Broadcast | undefined;
  #change: Broadcast | undefined;

  constructor(plan: StepPlan, tools: StepTools) {
    this.plan = plan;
    this.#tools = tools;
    this.startedAt = tools.clock.now();
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever waits for it looks at a failure; until then it is nobody's.
    this.ended.catch(() => {});
    this.machine = new StepMachine({
      numShards: tools.plan.numShards,
      timing: tools.timing,
      isWhole: plan.wire === 'topk',
      arbiter: LOCAL,
      nextAssignment: tools.nextAssignment,
      graceMs: (member, range) => this.#missingBytes(member, range) * GRACE_MS_PER_BYTE,
    });
  }

  begin(ranges: ReadonlyMap<string, Range>, members: readonly Member[]): void {
    this.#perform(this.machine.begin(this.#now, ranges, members.map(candidateOf)));
    this.broadcastAt = this.#now;
  }

  /** Whether an answer to this assignment is still of use. */
  isOpen(assignment: number): boolean {
    return !this.#isOver && this.machine.isOpen(assignment);
  }

  add(member: Member): void {
    if (!this.#isOver) this.#perform(this.machine.add(this.#now, candidateOf(member)));
  }

  remove(member: string): void {
    if (!this.#isOver) this.#perform(this.machine.remove(this.#now, member));
  }

  answer(
    { assignment, member, range, sentAt }: Owed<StepRun>,
    values: ReadonlyMap<number, PartialSum>,
    computeMs: number,
    startedAt: number | undefined,
  ): void {
    const { clock, crew } = this.#tools;
    const { origin } = clock;
    const offset = crew.get(member)?.clockOffset?.ms;
    const answeredAt = this.#now;
    // Without a ping yet: as late as it can have been.
    const started =
      startedAt === undefined || offset === undefined ? answeredAt - computeMs : Math.max(sentAt, startedAt + offset);
    this.answers.push({
      member,
      ...range,
      sentAt: origin + sentAt,
      answeredAt: origin + answeredAt,
      startedAt: origin + started,
      computeMs,
    });
    this.#perform(this.machine.answer(this.#now, assignment, values));
  }

  withdraw(assignment: number): void {
    this.#perform(this.machine.withdraw(this.#now, assignment));
  }

  /** An assignment came to nothing. */
  failed(assignment: number, cause: 'failed' | 'refused' | 'not finite', reason: string): void {
    this.#perform(this.machine.fail(this.#now, assignment, cause, reason));
  }

  giveUp(): void {
    this.#end(false);
  }

  fail(error: Error): void {
    this.#fail(error);
  }

  /** Calls off what is still under way. */
  async finish(): Promise<void> {
    this.#isOver = true;
    this.#stopTimer?.();
    this.#parameters?.end();
    this.#change?.end();
    const { ledger, local } = this.#tools;
    for (const owed of ledger.all) if (owed.step === this && !owed.cancelled) this.#cancel(owed.assignment);
    // The update needs the threads that still compute what others were faster with.
    await local.idle;
  }

  get #now(): number {
    return this.#tools.clock.now();
  }

  /** Of the data that a member does not hold. */
  #missingBytes(id: string, range: Range): number {
    const { plan, sampleBytes, crew } = this.#tools;
    const member = crew.get(id);
    if (!member) return 0;
    return missingShards(member, range).reduce((sum, shard) => sum + plan.shardSize(shard) * sampleBytes, 0);
  }

  #perform(actions: readonly StepAction<PartialSum>[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'assign':
          this.#assign(action);
          break;
        case 'cancel':
          this.#cancel(action.assignment);
          break;
        case 'discard':
          this.#tools.refused.add('duplicate');
          this.#tools.pool.release([action.value]);
          break;
        case 'strike':
          this.#tools.crew.strike(action.member, action.reason);
          break;
        case 'commit':
          this.#end(true);
          break;
        default:
          action satisfies never;
      }
    }
    this.#startTimer();
  }

  #startTimer(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    const at = this.machine.nextDeadline;
    if (at === undefined || this.#isOver) return;
    this.#stopTimer = this.#tools.clock.after(Math.max(0, at - this.#now), () => {
      this.#perform(this.machine.tick(this.#now));
    });
  }

  #assign({ assignment, member: id, range, cause }: Extract<StepAction<PartialSum>, { kind: 'assign' }>): void {
    const { crew, ledger, local, onReassigned, plan } = this.#tools;
    // It was sent away or quarantined while the actions before this one were carried out; the machine knows that already.
    if (!this.isOpen(assignment)) return;
    if (cause !== 'planned') onReassigned(this.plan.runStep, id, range, cause);
    this.participants.add(id);
    const { generation } = crew;
    const isMeasure = this.#missingBytes(id, range) === 0;
    const numPartials = coveringNodes(range, plan.numShards).length;
    const owed = { assignment, member: id, step: this, range, numPartials, generation, sentAt: this.#now, isMeasure };
    ledger.add({ ...owed, cancelled: false });
    if (id === LOCAL) {
      local.assign(assignment, this.plan, range, (outcome) => this.#localOutcome(assignment, outcome));
      return;
    }
    this.#sendParameters(id);
    const { epoch, step, runStep, wire } = this.plan;
    crew.send(id, { type: 'work', assignment, generation, epoch, step, runStep, ...range, wire });
  }

  /** Sends the step's parameters to a peer that does not have them. */
  #sendParameters(id: string): void {
    const { runStep, wire } = this.plan;
    const peer = this.#tools.crew.peer(id);
    if (!peer || peer.parametersOf?.runStep === runStep) return;
    // A change is packed in the format in which the step before rounded it.
    const { parametersOf: last } = peer;
    const isNext = wire !== 'fp32' && last?.wire === wire && last.runStep === runStep - 1;
    const broadcast = isNext ? this.#changeOf() : this.#parametersOf();
    peer.parametersOf = { runStep, wire };
    broadcast.to(peer);
  }

  #changeOf(): Broadcast {
    const { runStep } = this.plan;
    const wire = changeFormat(this.plan.wire);
    this.#change ??= new Broadcast(
      encodeFrame({ type: 'change', runStep, wire }, [this.#tools.pool.packedChange(wire)]),
    );
    return this.#change;
  }

  #parametersOf(): Broadcast {
    const { runStep, wire } = this.plan;
    const { pool } = this.#tools;
    if (!this.#parameters) {
      const { buffer, byteOffset, byteLength } = wire === 'fp32' ? pool.parameters(runStep) : pool.reference(runStep)!;
      this.#parameters = new Broadcast(
        encodeFrame({ type: 'parameters', runStep }, [new Uint8Array(buffer, byteOffset, byteLength)]),
      );
    }
    return this.#parameters;
  }

  #cancel(assignment: number): void {
    const { ledger, local, crew } = this.#tools;
    const owed = ledger.get(assignment);
    if (!owed) return;
    owed.cancelled = true;
    if (owed.member === LOCAL) local.cancel(assignment);
    else crew.send(owed.member, { type: 'cancel', assignment });
  }

  #localOutcome(assignment: number, outcome: LocalOutcome): void {
    const { ledger, pool } = this.#tools;
    const owed = ledger.get(assignment) as Owed<StepRun>;
    const ms = ledger.settle(this.#now, owed);
    if (outcome.kind === 'failed') {
      // The pool has tried several times, and a fault of this machine would not stop with this step.
      this.fail(outcome.error);
      return;
    }
    if (outcome.kind === 'cancelled') {
      if (!this.#isOver) this.withdraw(assignment);
      return;
    }
    ledger.measure(owed, ms, ms);
    const { partials } = outcome;
    if (this.#isOver) pool.release(partials);
    else if (partials.every((partial) => pool.isFinite(partial))) {
      this.answer(owed, new Map(partials.map((partial) => [partial.node, partial])), ms, undefined);
    } else {
      pool.release(partials);
      this.fail(diverged(this.plan));
    }
  }
}

const diverged = ({ epoch, step, learningRate }: StepPlan): LockstepError =>
  new LockstepError(
    'diverged',
    `Gradients became NaN or infinite in epoch ${epoch + 1}, step ${step + 1} (learning rate ${learningRate}).`,
    'Use a smaller --learning-rate, --warmup-steps, or --clip-norm 1.',
  );
