/**
 * The part of a step's update that comes before the step's end: on a slow line answers come in slices, and a slice that has come of
 * all of them is updated, and sent on for the next step, while the rest is still on its way.
 */
import type { ParameterLayout, ShardPlan } from '@lockstep/core';
import type { PartialSum, StepPlan } from '@lockstep/worker';
import type { Crew } from './crew.ts';
import type { Arrived } from './ledger.ts';
import type { Accumulator } from './local-member.ts';
import type { StepParameters } from './step-parameters.ts';

/** On a fast line a slice costs more than it gains: it should travel for so long. */
const SLICE_MS = 6;
/** What is left to do when the last slice has come is then a small part of the whole. */
const MOST_SLICES = 8;

export interface EarlyUpdateTools {
  readonly plan: Pick<ShardPlan, 'stepsPerEpoch'>;
  readonly layout: Pick<ParameterLayout, 'sumLength'>;
  readonly pool: Pick<Accumulator, 'canUpdateSlices' | 'updateSlice'>;
  readonly crew: Pick<Crew, 'get'>;
  /** Who owes what. */
  readonly ledger: {
    get(assignment: number): { readonly numPartials: number; readonly arrived?: Arrived | undefined } | undefined;
  };
}

export class EarlyUpdate {
  readonly #plan: StepPlan;
  readonly #parameters: StepParameters;
  readonly #tools: EarlyUpdateTools;
  readonly #members = new Set<string>();
  /** Assignments that were planned, with their sums once all have come. */
  readonly #planned = new Map<number, readonly PartialSum[] | undefined>();
  #isPossible: boolean;
  #updatedTo = 0;

  constructor(plan: StepPlan, clipNorm: number | undefined, parameters: StepParameters, tools: EarlyUpdateTools) {
    this.#plan = plan;
    this.#parameters = parameters;
    this.#tools = tools;
    // With an epoch a run may end, and a goodbye should not have to wait for parameters that nobody needs.
    const goesOn = plan.step + 1 < tools.plan.stepsPerEpoch;
    // With `topk` an answer is taken as a whole.
    this.#isPossible = goesOn && plan.wire !== 'topk' && tools.pool.canUpdateSlices(clipNorm);
  }

  /** Elements up to, without it, this one are done. */
  get updatedTo(): number {
    return this.#updatedTo;
  }

  /** In how many slices an answer had best come. */
  slicesFrom(id: string): number {
    const overheadMs = this.#tools.crew.get(id)?.speed?.overheadMs ?? 0;
    return this.#isPossible ? Math.min(MOST_SLICES, Math.floor(overheadMs / SLICE_MS)) : 1;
  }

  /** A member has its part in the step. */
  planned(assignment: number, member: string): void {
    this.#planned.set(assignment, undefined);
    this.#members.add(member);
  }

  /** All of an answer has come. */
  answered(assignment: number, sums: readonly PartialSum[]): void {
    if (this.#planned.has(assignment)) this.#planned.set(assignment, sums);
  }

  /** More of an answer has come. */
  advance(): void {
    const arrived = this.#isPossible ? this.#arrived() : undefined;
    if (!arrived) return;
    const { layout, pool } = this.#tools;
    const slice = { from: this.#updatedTo, to: arrived.to };
    // The last slice is the step's own end, and however small the slices are that come, those that go out are not.
    if (slice.to === layout.sumLength || slice.to - slice.from < layout.sumLength / (2 * MOST_SLICES)) return;
    if (!pool.updateSlice(this.#plan, arrived.sums, slice)) return;
    this.#updatedTo = slice.to;
    this.#parameters.sendAhead(slice, this.#members);
  }

  /** What of all planned answers has come; undefined when there is nothing yet of one. */
  #arrived(): { readonly sums: readonly PartialSum[]; readonly to: number } | undefined {
    const sums: PartialSum[] = [];
    let to = this.#tools.layout.sumLength;
    for (const [assignment, complete] of this.#planned) {
      if (complete) {
        sums.push(...complete);
        continue;
      }
      const owed = this.#tools.ledger.get(assignment);
      if (!owed?.arrived || owed.arrived.values.size !== owed.numPartials) return undefined;
      sums.push(...owed.arrived.values.values());
      to = Math.min(to, owed.arrived.to);
    }
    return { sums, to };
  }

  /**
   * The step does not go as planned, and somebody else's sums may take part in it: what was updated and sent is done again, with
   * the rest at the step's end.
   */
  cancel(): void {
    this.#isPossible = false;
    this.#updatedTo = 0;
    this.#parameters.forgetAhead(this.#members);
  }
}
