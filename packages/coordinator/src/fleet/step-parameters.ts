/** What a step's remote members are sent of its parameters, and of those of the next step. */
import { changeFormat, type ParameterLayout, type Range } from '@lockstep/core';
import { encodeFrame } from '@lockstep/protocol';
import type { StepPlan } from '@lockstep/worker';
import { Broadcast } from './broadcast.ts';
import type { Crew } from './crew.ts';
import type { Accumulator } from './local-member.ts';

export interface StepParametersTools {
  readonly layout: Pick<ParameterLayout, 'numParameters'>;
  readonly pool: Pick<Accumulator, 'parameters' | 'reference' | 'packedChange'>;
  readonly crew: Pick<Crew, 'peer'>;
}

export class StepParameters {
  readonly #plan: StepPlan;
  readonly #tools: StepParametersTools;
  /** The parameters, and what changed in them, by the first element; made when the first member needs them. */
  readonly #parameters = new Map<number, Broadcast>();
  readonly #changes = new Map<number, Broadcast>();
  /** Whether the pool's latest change is not any more the one that led to this step. */
  #hasNewChange = false;

  constructor(plan: StepPlan, tools: StepParametersTools) {
    this.#plan = plan;
    this.#tools = tools;
  }

  /** Sends the step's parameters to a peer that does not have them, or the rest of them. */
  sendTo(id: string): void {
    const { runStep, wire } = this.#plan;
    const peer = this.#tools.crew.peer(id);
    if (!peer || peer.parametersOf?.runStep === runStep) return;
    const { parametersOf: last, ahead } = peer;
    const from = ahead?.runStep === runStep && ahead.wire === wire ? ahead.to : 0;
    peer.parametersOf = { runStep, wire };
    peer.ahead = undefined;
    const rest = { from, to: this.#tools.layout.numParameters };
    if (from === rest.to) return;
    // A change is packed in the format in which the step before rounded it, unless it is overwritten by now.
    const hasChange = this.#changes.has(from) || !this.#hasNewChange;
    const isNext = wire !== 'fp32' && last?.wire === wire && last.runStep === runStep - 1 && hasChange;
    const made = isNext ? this.#changes : this.#parameters;
    let broadcast = made.get(from);
    if (!broadcast) {
      broadcast = isNext ? this.#changeIn(runStep, rest) : this.#parametersIn(runStep, rest);
      made.set(from, broadcast);
    }
    broadcast.to(peer);
  }

  /** Sends a slice of the next step's parameters, which was just updated, to those members that have this step's. */
  sendAhead({ from, to }: Range, members: Iterable<string>): void {
    this.#hasNewChange = true;
    const slice = { from, to: Math.min(to, this.#tools.layout.numParameters) };
    if (from >= slice.to) return;
    const { wire, runStep } = this.#plan;
    let broadcast: Broadcast | undefined;
    for (const id of members) {
      const peer = this.#tools.crew.peer(id);
      if (peer?.parametersOf?.runStep !== runStep || peer.parametersOf.wire !== wire) continue;
      if ((peer.ahead?.to ?? 0) !== from) continue;
      broadcast ??= wire === 'fp32' ? this.#parametersIn(runStep + 1, slice) : this.#changeIn(runStep + 1, slice);
      peer.ahead = { runStep: runStep + 1, wire, to: slice.to };
      broadcast.to(peer);
    }
    broadcast?.end();
  }

  /** What members were sent ahead does not count: they will be sent all of it. */
  forgetAhead(members: Iterable<string>): void {
    for (const id of members) {
      const peer = this.#tools.crew.peer(id);
      if (peer) peer.ahead = undefined;
    }
  }

  /** Nobody else will be sent anything. */
  end(): void {
    for (const broadcast of [...this.#parameters.values(), ...this.#changes.values()]) broadcast.end();
  }

  /** A slice of the change that led to a step's parameters. */
  #changeIn(runStep: number, slice: Range): Broadcast {
    const wire = changeFormat(this.#plan.wire);
    const message = { type: 'change', runStep, wire, ...this.#sliceOf(slice) } as const;
    return new Broadcast(encodeFrame(message, [this.#tools.pool.packedChange(wire, slice)]));
  }

  /** A slice of a step's parameters. */
  #parametersIn(runStep: number, slice: Range): Broadcast {
    const { pool } = this.#tools;
    const whole = this.#plan.wire === 'fp32' ? pool.parameters(runStep) : pool.reference(runStep)!;
    const { buffer, byteOffset, byteLength } = whole.subarray(slice.from, slice.to);
    const message = { type: 'parameters', runStep, ...this.#sliceOf(slice) } as const;
    return new Broadcast(encodeFrame(message, [new Uint8Array(buffer, byteOffset, byteLength)]));
  }

  /** As a message has it: nothing for a whole vector. */
  #sliceOf(slice: Range): { readonly slice?: Range } {
    return slice.from === 0 && slice.to === this.#tools.layout.numParameters ? {} : { slice };
  }
}
