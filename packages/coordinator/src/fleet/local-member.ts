/** The local pool as one member of the fleet: computes assignments one after the other. */
import type { Range } from '@lockstep/core';
import type { PartialSum, StepPlan, WorkerPool } from '@lockstep/worker';

/** What the fleet uses of the local pool. */
export type Accumulator = Pick<
  WorkerPool,
  | 'step'
  | 'marks'
  | 'gradient'
  | 'cancel'
  | 'expect'
  | 'accept'
  | 'acceptSparse'
  | 'isFinite'
  | 'release'
  | 'update'
  | 'canUpdateSlices'
  | 'updateSlice'
  | 'parameters'
  | 'reference'
  | 'packedChange'
>;

/** What ends an assignment: partial sums, a cancellation, or a failure that the pool could not get over. */
export type LocalOutcome =
  | { readonly kind: 'done'; readonly partials: readonly PartialSum[] }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: Error };

export class LocalMember {
  readonly #pool: Pick<Accumulator, 'gradient' | 'cancel'>;
  #queue: Promise<void> = Promise.resolve();
  #computing: number | undefined;
  readonly #cancelled = new Set<number>();

  constructor(pool: Pick<Accumulator, 'gradient' | 'cancel'>) {
    this.#pool = pool;
  }

  /** Resolves when nothing is being computed. */
  get idle(): Promise<void> {
    return this.#queue;
  }

  assign(assignment: number, plan: StepPlan, range: Range, onEnd: (outcome: LocalOutcome) => void): void {
    this.#queue = this.#queue.then(async () => {
      const outcome = await this.#compute(assignment, plan, range);
      this.#cancelled.delete(assignment);
      onEnd(outcome);
    });
  }

  cancel(assignment: number): void {
    this.#cancelled.add(assignment);
    if (this.#computing === assignment) this.#pool.cancel();
  }

  async #compute(assignment: number, plan: StepPlan, range: Range): Promise<LocalOutcome> {
    if (this.#cancelled.has(assignment)) return { kind: 'cancelled' };
    this.#computing = assignment;
    try {
      const partials = await this.#pool.gradient(plan, range, false);
      return partials ? { kind: 'done', partials } : { kind: 'cancelled' };
    } catch (error) {
      return { kind: 'failed', error: error as Error };
    } finally {
      this.#computing = undefined;
    }
  }
}
