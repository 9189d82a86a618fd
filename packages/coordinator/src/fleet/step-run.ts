/** One step that several members do together: carries out what its state machine decides. */
import { coveringNodes, LockstepError, type ParameterLayout, type Range, type ShardPlan } from '@lockstep/core';
import type { PartialSum, StepPlan } from '@lockstep/worker';
import { dropArrived } from './answers.ts';
import type { Clock } from './clock.ts';
import type { Counters } from './counters.ts';
import { type Crew, LOCAL } from './crew.ts';
import { EarlyUpdate } from './early-update.ts';
import type { Ledger, Owed } from './ledger.ts';
import type { Accumulator, LocalMember, LocalOutcome } from './local-member.ts';
import { candidateOf, type Member } from './membership.ts';
import { missingShards } from './range-planner.ts';
import { type Cause, type StepAction, StepMachine, type Timing } from './step-machine.ts';
import { StepParameters } from './step-parameters.ts';
import type { Answer } from './step-report.ts';

/** Time that fetching is granted: half a megabyte a second. */
const GRACE_MS_PER_BYTE = 2_000 / 2 ** 20;

/** What a step works with. */
export interface StepTools {
  readonly plan: ShardPlan;
  readonly layout: Pick<ParameterLayout, 'numParameters' | 'sumLength'>;
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
  readonly #parameters: StepParameters;
  readonly #early: EarlyUpdate;
  #end!: (complete: boolean) => void;
  #fail!: (error: Error) => void;
  #isOver = false;
  #stopTimer: (() => void) | undefined;

  constructor(plan: StepPlan, clipNorm: number | undefined, tools: StepTools) {
    this.plan = plan;
    this.#tools = tools;
    this.#parameters = new StepParameters(plan, tools);
    this.#early = new EarlyUpdate(plan, clipNorm, this.#parameters, tools);
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

  /** Elements up to, without it, this one were updated before the step's end. */
  get updatedTo(): number {
    return this.#early.updatedTo;
  }

  /** Whether an answer to this assignment is still of use. */
  isOpen(assignment: number): boolean {
    return !this.#isOver && this.machine.isOpen(assignment);
  }

  add(member: Member): void {
    if (!this.#isOver) this.#perform(this.machine.add(this.#now, candidateOf(member)));
  }

  remove(member: string): void {
    if (this.participants.has(member)) this.#early.cancel();
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
    this.#early.answered(assignment, [...values.values()]);
    this.#perform(this.machine.answer(this.#now, assignment, values));
    this.advance();
  }

  /** A slice of somebody's sums has come. */
  advance(): void {
    if (!this.#isOver) this.#early.advance();
  }

  withdraw(assignment: number): void {
    this.#early.cancel();
    this.#perform(this.machine.withdraw(this.#now, assignment));
  }

  /** An assignment came to nothing. */
  failed(assignment: number, cause: 'failed' | 'refused' | 'not finite', reason: string): void {
    this.#early.cancel();
    this.#perform(this.machine.fail(this.#now, assignment, cause, reason));
  }

  giveUp(): void {
    this.#early.cancel();
    this.#end(false);
  }

  fail(error: Error): void {
    this.#early.cancel();
    this.#fail(error);
  }

  /** Calls off what is still under way. */
  async finish(): Promise<void> {
    this.#isOver = true;
    this.#stopTimer?.();
    this.#parameters.end();
    const { ledger, local } = this.#tools;
    for (const owed of ledger.all) {
      if (owed.step !== this) continue;
      dropArrived(owed, this.#tools);
      if (!owed.cancelled) this.#cancel(owed.assignment);
    }
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
      const isPlan = action.kind === 'assign' && action.cause === 'planned';
      if (!isPlan && action.kind !== 'commit') this.#early.cancel();
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
    if (cause === 'planned') this.#early.planned(assignment, id);
    else onReassigned(this.plan.runStep, id, range, cause);
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
    this.#parameters.sendTo(id);
    const { epoch, step, runStep, wire } = this.plan;
    const slices = this.#early.slicesFrom(id);
    const work = { type: 'work', assignment, generation, epoch, step, runStep, ...range, wire } as const;
    crew.send(id, slices > 1 ? { ...work, slices } : work);
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
