/**
 * Writes what every worker did when, in Chrome's trace event format (JSON array; one event a line), for ui.perfetto.dev or
 * chrome://tracing. Moments of other machines are brought to the coordinator's clock by pings. A trace that was cut off is
 * still readable: the format allows the end to be missing.
 * Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LockstepError } from '@lockstep/core';
import type { StepReport } from '../fleet/index.ts';

/** A longer trace is more than a viewer can open. */
const MAX_BYTES = 500 * 2 ** 20;
/** Of the coordinator itself; members follow. */
const COORDINATOR = 0;
const STEPS = 0;
const PHASES = 1;
const ASSIGNMENTS = 0;
const COMPUTING = 1;

interface Span {
  readonly name: string;
  readonly process: number;
  readonly thread: number;
  readonly from: number;
  readonly to: number;
  readonly args?: Record<string, number | string>;
}

export class TraceWriter {
  readonly #stream: WriteStream;
  readonly #onNotice: (message: string) => void;
  /** Milliseconds since 1970 at which the trace begins. */
  readonly #origin = Date.now();
  readonly #processes = new Map<string, number>();
  readonly #threads = new Set<string>();
  #bytes = 0;
  #isBroken = false;

  private constructor(stream: WriteStream, onNotice: (message: string) => void) {
    this.#stream = stream;
    this.#onNotice = onNotice;
    stream.on('error', (error) => this.#stop(`The trace ends here: ${error.message}`));
    this.#write('[\n');
    this.#name('process_name', COORDINATOR, 0, 'coordinator');
    this.#name('thread_name', COORDINATOR, STEPS, 'steps');
    this.#name('thread_name', COORDINATOR, PHASES, 'phases');
  }

  /** @throws LockstepError `output-unwritable` */
  static async open(path: string, onNotice: (message: string) => void): Promise<TraceWriter> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const stream = createWriteStream(path);
      await new Promise((resolve, reject) => stream.once('open', resolve).once('error', reject));
      return new TraceWriter(stream, onNotice);
    } catch (error) {
      throw new LockstepError(
        'output-unwritable',
        `Cannot write --trace ${path}: ${(error as Error).message}.`,
        'Choose another file.',
        { cause: error },
      );
    }
  }

  report(report: StepReport): void {
    if (report.marks.length === report.numSteps && report.phases.broadcast === 0) this.#localSteps(report);
    else this.#sharedStep(report);
  }

  async close(): Promise<void> {
    if (this.#isBroken) return;
    // Without a comma, since it is the last.
    this.#write(
      `${JSON.stringify({ name: 'end', ph: 'i', s: 'g', pid: COORDINATOR, tid: STEPS, ts: this.#micros(Date.now()) })}\n]\n`,
    );
    await new Promise<void>((resolve) => this.#stream.end(resolve));
  }

  /** Steps that the local threads did by themselves. */
  #localSteps({ runStep, marks }: StepReport): void {
    for (const [i, threads] of marks.entries()) {
      const from = Math.min(...threads.map(({ started }) => started));
      const to = Math.max(...threads.map(({ ended }) => ended));
      this.#span({ name: `step ${runStep + i + 1}`, process: COORDINATOR, thread: STEPS, from, to });
      this.#localThreads(threads);
    }
  }

  #localThreads(threads: StepReport['marks'][number]): void {
    const process = this.#process('local');
    for (const [thread, { started, computed, gathered, ended }] of threads.entries()) {
      this.#thread(process, thread, `thread ${thread}`);
      this.#span({ name: 'compute', process, thread, from: started, to: computed });
      this.#span({ name: 'wait', process, thread, from: computed, to: gathered });
      this.#span({ name: 'update', process, thread, from: gathered, to: ended });
    }
  }

  /** A step in which several members had a part. */
  #sharedStep({ runStep, startedAt, totalMs, phases, answers, heldUp }: StepReport): void {
    const args = heldUp ? { heldUpBy: heldUp.member, heldUpMs: heldUp.ms } : {};
    const step = { name: `step ${runStep + 1}`, process: COORDINATOR, thread: STEPS, args };
    this.#span({ ...step, from: startedAt, to: startedAt + totalMs });
    let from = startedAt;
    for (const [name, ms] of Object.entries(phases)) {
      this.#span({ name, process: COORDINATOR, thread: PHASES, from, to: from + ms });
      from += ms;
    }
    for (const { member, from: first, to, sentAt, answeredAt, startedAt: began, computeMs } of answers) {
      const process = this.#process(member);
      this.#thread(process, ASSIGNMENTS, 'assignments');
      this.#thread(process, COMPUTING, 'computing');
      const name = `shards ${first} to ${to - 1}`;
      this.#span({ name, process, thread: ASSIGNMENTS, from: sentAt, to: answeredAt, args: { step: runStep + 1 } });
      this.#span({ name: 'compute', process, thread: COMPUTING, from: began, to: began + computeMs });
    }
  }

  #process(member: string): number {
    let id = this.#processes.get(member);
    if (id === undefined) {
      id = this.#processes.size + 1;
      this.#processes.set(member, id);
      this.#name('process_name', id, 0, member);
    }
    return id;
  }

  #thread(process: number, thread: number, name: string): void {
    const key = `${process}/${thread}`;
    if (this.#threads.has(key)) return;
    this.#threads.add(key);
    this.#name('thread_name', process, thread, name);
  }

  #name(what: 'process_name' | 'thread_name', pid: number, tid: number, name: string): void {
    this.#event({ name: what, ph: 'M', pid, tid, args: { name } });
  }

  #span({ name, process, thread, from, to, args = {} }: Span): void {
    const ts = this.#micros(from);
    this.#event({ name, ph: 'X', pid: process, tid: thread, ts, dur: Math.max(0, this.#micros(to) - ts), args });
  }

  #micros(ms: number): number {
    return Math.round((ms - this.#origin) * 1000);
  }

  #event(event: object): void {
    this.#write(`${JSON.stringify(event)},\n`);
  }

  #write(text: string): void {
    if (this.#isBroken) return;
    this.#bytes += text.length;
    this.#stream.write(text);
    if (this.#bytes > MAX_BYTES) this.#stop(`The trace ends here: it is ${MAX_BYTES / 2 ** 20} MiB long.`);
  }

  #stop(message: string): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#stream.end();
    this.#onNotice(message);
  }
}
