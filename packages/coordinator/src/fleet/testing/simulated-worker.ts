/** A worker that speaks the real protocol over a simulated network, and goes wrong in chosen ways. */
import { coveringNodes, ErrorFeedback, type RandomStream, type ShardPlan, type WireFormat } from '@lockstep/core';
import type { CoordinatorMessage, WorkerMessage } from '@lockstep/protocol';
import { decodeFromCoordinator, encodeFrame, type MessageOf, PROTOCOL_VERSION, parseJob } from '@lockstep/protocol';
import type { Connection } from '../crew.ts';
import type { Fleet } from '../fleet.ts';
import { changed, NUM_PARAMETERS, nodeSum, packToy, TOY_LAYOUT } from './toy-model.ts';
import type { VirtualClock } from './virtual-time.ts';

/** How a worker answers. */
export type Manner =
  | 'honest'
  | 'twice'
  | 'not finite'
  | 'wrong length'
  | 'wrong generation'
  | 'other shards'
  | 'unasked'
  | 'fails'
  | 'never';

export interface Network {
  readonly latencyMs: number;
  /** Up to this much more, drawn for each message. */
  readonly jitterMs: number;
  /** Whether a message may overtake the one before it. */
  readonly reorders: boolean;
}

const WHOLE = { from: 0, to: NUM_PARAMETERS };

export class SimulatedWorker {
  manner: Manner = 'honest';
  msPerShard: number;
  network: Network;
  layoutHash: string;
  readonly #plan: ShardPlan;
  readonly #clock: VirtualClock;
  readonly #fleet: Fleet;
  readonly #random: RandomStream;
  #connection: Connection | undefined;
  /** Counts connections, so that what an earlier one left on the way is not delivered. */
  #epoch = 0;
  #parameters: { readonly runStep: number; readonly values: Float32Array } | undefined;
  /** The first slices of the next ones. */
  #coming: { readonly runStep: number; readonly values: Float32Array; readonly to: number } | undefined;
  #busyUntil = 0;
  /** Assignments that it has not answered. */
  readonly #pending = new Set<number>();
  /** Messages in both directions wait until then: the machine is stopped, or the network is parted. */
  #stoppedUntil = 0;
  readonly #arrivesAt = { up: 0, down: 0 };
  /** In a run with the format `topk`, until the connection ends. */
  #feedback: ErrorFeedback | undefined;
  /** Samples of the step that it answered last. */
  #stepSize = 1;
  /** A result of which it has not heard whether it counts. */
  #unsettled: number | undefined;
  /** What waits for that. */
  #waiting: (() => void)[] = [];
  /** What the coordinator said of its results, whether that arrived or not. */
  readonly #outcomes = new Map<number, boolean>();
  readonly #withheld = new Float64Array(NUM_PARAMETERS);

  constructor(
    plan: ShardPlan,
    clock: VirtualClock,
    fleet: Fleet,
    random: RandomStream,
    settings: { readonly msPerShard: number; readonly network: Network; readonly layoutHash: string },
  ) {
    this.#plan = plan;
    this.#clock = clock;
    this.#fleet = fleet;
    this.#random = random;
    this.msPerShard = settings.msPerShard;
    this.network = settings.network;
    this.layoutHash = settings.layoutHash;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Means over a step of what it holds back and has ever lost. To be asked for at the end. */
  get withheld(): Float64Array {
    this.#letGo();
    return this.#withheld;
  }

  /** What it held back is lost. */
  #letGo(): void {
    if (this.#unsettled !== undefined) this.#feedback?.settle(this.#outcomes.get(this.#unsettled) ?? false);
    this.#feedback?.residual.forEach((value, i) => {
      this.#withheld[i]! += value / this.#stepSize;
    });
    this.#feedback = undefined;
    this.#unsettled = undefined;
    this.#waiting = [];
  }

  connect(): void {
    if (this.#connection) return;
    const epoch = ++this.#epoch;
    this.#parameters = undefined;
    this.#coming = undefined;
    this.#pending.clear();
    this.#connection = this.#fleet.connect({
      bufferedBytes: 0,
      receivedBytes: 0,
      send: (frame) => {
        if (this.#feedback) this.#overhear(frame);
        this.#travel('down', epoch, () => this.#receive(frame));
      },
      close: () => {
        this.#letGo();
        this.#connection = undefined;
        this.#epoch++;
        // Workers come back by themselves.
        this.#clock.after(200 + this.#random.below(2000), () => this.connect());
      },
    });
    this.#send({ type: 'hello', protocol: PROTOCOL_VERSION, name: 'simulated', threads: 1, runtime: 'node' });
  }

  /** Its process ends: the system closes the connection. */
  kill(): void {
    const connection = this.#connection;
    if (!connection) return;
    this.#letGo();
    this.#connection = undefined;
    this.#epoch++;
    this.#clock.after(this.network.latencyMs, () => connection.closed('the connection was closed'));
  }

  /** Neither sends nor receives for a while. */
  stop(ms: number): void {
    this.#stoppedUntil = Math.max(this.#stoppedUntil, this.#clock.now() + ms);
  }

  /** Delivers something after the network's delay. */
  #travel(direction: 'up' | 'down', epoch: number, deliver: () => void): void {
    const { latencyMs, jitterMs, reorders } = this.network;
    const leaves = Math.max(this.#clock.now(), this.#stoppedUntil);
    const wanted = leaves + latencyMs + this.#random.below(jitterMs * 1000 + 1) / 1000;
    const at = reorders ? wanted : Math.max(wanted, this.#arrivesAt[direction]);
    this.#arrivesAt[direction] = Math.max(at, this.#arrivesAt[direction]);
    const arrive = (): void => {
      if (this.#epoch !== epoch) return;
      // It was stopped while this was on its way.
      const wait = this.#stoppedUntil - this.#clock.now();
      if (wait > 0) this.#clock.after(wait, arrive);
      else deliver();
    };
    this.#clock.after(at - this.#clock.now(), arrive);
  }

  #send(message: WorkerMessage, payload?: readonly Uint8Array[]): void {
    const frame = encodeFrame(message, payload);
    this.#travel('up', this.#epoch, () => this.#connection?.receive(frame));
  }

  #overhear(frame: Uint8Array): void {
    const { message } = decodeFromCoordinator(frame);
    if (message.type === 'outcome') this.#outcomes.set(message.assignment, message.taken);
  }

  #receive(frame: Uint8Array): void {
    const { message, payload } = decodeFromCoordinator(frame);
    switch (message.type) {
      case 'welcome':
        this.#prepare(message);
        return;
      case 'hold':
        this.#after(5 * message.shards.length, () => this.#send({ type: 'holds', shards: message.shards }));
        return;
      case 'parameters':
        this.#comes(message, new Float32Array(payload.slice().buffer));
        return;
      case 'change': {
        const { runStep, wire, slice = WHOLE } = message;
        // Without those before, work on them will be refused.
        if (this.#parameters?.runStep === runStep - 1) {
          this.#comes(message, changed(this.#parameters.values, payload, wire, slice));
        }
        return;
      }
      case 'work':
        this.#work(message);
        return;
      case 'outcome':
        this.#settle(message);
        return;
      case 'cancel':
        // Between two micro-batches it hears of it.
        if (this.manner !== 'never' && this.#pending.delete(message.assignment)) {
          this.#busyUntil = this.#clock.now();
          this.#send({ type: 'failed', assignment: message.assignment, reason: 'cancelled' });
        }
        return;
      case 'ping':
        this.#send({ type: 'pong', sentAt: message.sentAt, at: this.#clock.now() });
        return;
      default:
    }
  }

  /** Takes a slice of parameters. Where messages overtake each other, some never become whole. */
  #comes(
    { runStep, slice = WHOLE }: MessageOf<CoordinatorMessage, 'parameters' | 'change'>,
    values: Float32Array,
  ): void {
    const { from, to } = slice;
    if (values.length !== to - from) throw new Error(`${values.length} values in place of ${to - from}`);
    if (from === 0) this.#coming = { runStep, values: new Float32Array(NUM_PARAMETERS), to: 0 };
    if (this.#coming?.runStep !== runStep || this.#coming.to !== from) return;
    this.#coming.values.set(values, from);
    this.#coming = { ...this.#coming, to };
    if (to === NUM_PARAMETERS) this.#parameters = this.#coming;
  }

  #after(ms: number, action: () => void): void {
    const epoch = this.#epoch;
    this.#clock.after(ms, () => {
      if (this.#epoch === epoch) action();
    });
  }

  #prepare({ job, jobHash }: MessageOf<CoordinatorMessage, 'welcome'>): void {
    const { topk } = parseJob({ text: job, hash: jobHash });
    if (topk !== undefined) this.#feedback = new ErrorFeedback(TOY_LAYOUT, topk);
    const { layoutHash } = this;
    this.#after(20, () =>
      this.#send({ type: 'ready', jobHash, layoutHash, engine: 'toy', device: 'cpu', shards: [], sketch: [] }),
    );
  }

  #work(work: MessageOf<CoordinatorMessage, 'work'>): void {
    const { assignment, from, to } = work;
    const start = Math.max(this.#clock.now(), this.#busyUntil);
    const computeMs = (to - from) * this.msPerShard;
    this.#busyUntil = start + computeMs;
    this.#send({ type: 'holds', shards: Array.from({ length: to - from }, (_, i) => from + i) });
    this.#pending.add(assignment);
    this.#after(this.#busyUntil - this.#clock.now(), () => this.#computed(work, computeMs));
  }

  #computed(work: MessageOf<CoordinatorMessage, 'work'>, computeMs: number): void {
    if (this.#unsettled !== undefined) this.#waiting.push(() => this.#computed(work, computeMs));
    else if (this.#pending.delete(work.assignment)) this.#answer(work, computeMs);
  }

  #settle({ assignment, taken }: MessageOf<CoordinatorMessage, 'outcome'>): void {
    if (this.#unsettled !== assignment) return;
    this.#feedback!.settle(taken);
    this.#unsettled = undefined;
    for (const answer of this.#waiting.splice(0)) answer();
  }

  /** What is sent of some sums, and why the rest is kept. */
  #sparse({ assignment, step }: MessageOf<CoordinatorMessage, 'work'>, sums: readonly Float32Array[]): Uint8Array {
    this.#stepSize = this.#plan.stepSize(step);
    const bytes = sums.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
    const payload = this.#feedback!.pack(bytes, this.#stepSize);
    // Nobody will say anything of an answer that nobody asked for.
    if (this.manner === 'unasked') this.#feedback!.settle(false);
    else this.#unsettled = assignment;
    return payload;
  }

  #answer(work: MessageOf<CoordinatorMessage, 'work'>, computeMs: number): void {
    const { assignment, generation, runStep, from, to } = work;
    if (this.manner === 'never') return;
    const fails = this.manner === 'fails' && this.#random.below(2) === 0;
    if (fails || this.#parameters?.runStep !== runStep) {
      this.#send({ type: 'failed', assignment, reason: 'no such parameters' });
      return;
    }
    const { values } = this.#parameters;
    const nodes = coveringNodes({ from, to }, this.#plan.numShards);
    const sums = nodes.map((node) => nodeSum(this.#plan, values, work, node));
    if (this.manner === 'not finite') sums[0]![1] = Number.NaN;
    const result = {
      type: 'result',
      assignment,
      generation,
      runStep,
      nodes,
      startedAt: this.#clock.now() - computeMs,
      computeMs,
    } as const;
    const { wire } = work;
    if (wire !== 'topk' && this.manner !== 'wrong length' && !this.network.reorders && this.#random.below(2) === 0) {
      this.#answerInSlices(result, sums, wire);
      return;
    }
    const all = { from: 0, to: TOY_LAYOUT.sumLength };
    const payload = wire === 'topk' ? [this.#sparse(work, sums)] : sums.map((sum) => packToy(sum, wire, all));
    if (this.manner === 'wrong length') payload[0] = payload[0]!.subarray(4);
    if (this.manner === 'wrong generation') {
      this.#send({ ...result, generation: generation + 1 }, payload);
      return;
    }
    if (this.manner === 'other shards') {
      this.#send({ ...result, nodes: nodes.map((node) => node ^ 1) }, payload);
      return;
    }
    if (this.manner === 'unasked') {
      this.#send({ ...result, assignment: assignment + 1 }, payload);
      return;
    }
    this.#send(result, payload);
    if (this.manner === 'twice') this.#send(result, payload);
  }

  /** Some go wrong in the middle. */
  #answerInSlices(result: MessageOf<WorkerMessage, 'result'>, sums: readonly Float32Array[], wire: WireFormat): void {
    const { sumLength } = TOY_LAYOUT;
    for (let from = 0; from < sumLength; ) {
      const to = Math.min(sumLength, from + 1 + this.#random.below(sumLength));
      const payload = sums.map((sum) => packToy(sum, wire, { from, to }));
      const isLast = to === sumLength;
      const slice = { from, to };
      if (this.manner === 'wrong generation' && isLast) {
        this.#send({ ...result, generation: result.generation + 1, slice }, payload);
      } else if (this.manner === 'other shards' && from > 0) {
        this.#send({ ...result, nodes: result.nodes.map((node) => node ^ 1), slice }, payload);
      } else if (this.manner === 'unasked' && from > 0) {
        this.#send({ ...result, slice: { from: from - 1, to } }, payload);
      } else if (this.manner === 'fails' && from > 0) {
        this.#send({ type: 'failed', assignment: result.assignment, reason: 'no more of it' });
        return;
      } else {
        this.#send({ ...result, slice }, payload);
        if (this.manner === 'twice') this.#send({ ...result, slice }, payload);
      }
      from = to;
    }
  }
}
