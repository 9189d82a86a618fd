/** Says in words what a remote worker does: lasting lines when its state changes, else one line that is replaced. */
import type { JoinEvent } from '@lockstep/protocol';
import pc from 'picocolors';
import { bar, duration, integer, megabytes, type Output } from '../output.ts';

/** Samples per second are those of so many last milliseconds. */
const WINDOW_MS = 5_000;
/** Steps can be many a second: the line for them is replaced this often. */
const VIEW_INTERVAL_MS = 250;
const SECOND_MS = 1_000;

type EventOf<Name extends JoinEvent['event']> = Extract<JoinEvent, { event: Name }>;

/** Where it says them. */
type Words = Pick<Output, 'line' | 'notice' | 'progress' | 'endProgress'>;

export class JoinDisplay {
  readonly #output: Words;
  /** Shards of the job. */
  #shards = 0;
  /** Why it waited last, so that only a change is a line of its own. */
  #reason: string | undefined;
  #recent: { readonly at: number; readonly samples: number }[] = [];
  /** Of those. */
  #recentSamples = 0;
  #viewedAt = Number.NEGATIVE_INFINITY;
  #countdown: NodeJS.Timeout | undefined;

  constructor(output: Words) {
    this.#output = output;
  }

  event(event: JoinEvent): void {
    const output = this.#output;
    clearInterval(this.#countdown);
    switch (event.event) {
      case 'connecting':
        if (event.attempt === 1 && this.#reason === undefined) output.line(`${pc.bold('dial')}    ${event.url}`);
        else output.progress(`connecting, attempt ${event.attempt}`);
        return;
      case 'joined':
        this.#joined(event);
        return;
      case 'fetching':
        output.progress(
          `fetching data ${bar(event.doneBytes / event.totalBytes)} ${megabytes(event.doneBytes)} of ${megabytes(event.totalBytes)}`,
        );
        return;
      case 'step':
        this.#step(event);
        return;
      case 'waiting':
        this.#waiting(event);
        return;
      case 'notice':
        output.notice(event.message);
        return;
      case 'finished':
        output.endProgress();
        output.line(
          `${pc.green('done')}    the run is over: ${integer(event.samples)} samples in ${integer(event.steps)} steps, ` +
            `after ${duration(event.seconds)}`,
        );
        return;
      default:
        event satisfies never;
    }
  }

  /** Nothing comes any more, for whatever reason. */
  end(): void {
    clearInterval(this.#countdown);
    this.#output.endProgress();
  }

  #joined({ member, threads, engine, device, reason, model, numParameters, shards, held }: EventOf<'joined'>): void {
    this.#shards = shards;
    this.#reason = undefined;
    this.#recent = [];
    this.#recentSamples = 0;
    this.#output.line(
      `${pc.bold('joined')}  as ${member}: ${threads} threads, engine ${engine} on ${device}: ${reason}`,
    );
    this.#output.line(
      `${pc.bold('job')}     ${model}, ${integer(numParameters)} parameters, ${shards} shards, the data of ${held} at hand`,
    );
  }

  #waiting({ reason, retryInMs }: EventOf<'waiting'>): void {
    if (reason !== this.#reason) this.#output.line(`${pc.yellow('lost')}    no coordinator: ${reason}`);
    this.#reason = reason;
    const until = performance.now() + retryInMs;
    const show = (): void => {
      const seconds = Math.ceil(Math.max(0, until - performance.now()) / SECOND_MS);
      this.#output.progress(`waiting, dialling again in ${seconds} s`);
    };
    show();
    this.#countdown = setInterval(show, SECOND_MS);
  }

  #step(event: EventOf<'step'>): void {
    const now = performance.now();
    this.#recent.push({ at: now, samples: event.samples });
    this.#recentSamples += event.samples;
    while (now - this.#recent[0]!.at > WINDOW_MS) this.#recentSamples -= this.#recent.shift()!.samples;
    if (now - this.#viewedAt < VIEW_INTERVAL_MS) return;
    this.#viewedAt = now;
    this.#output.progress(
      `step ${integer(event.runStep)}, shards ${shardsOf(event)} of ${this.#shards}  ${integer(this.#rate(now))} samples/s`,
    );
  }

  #rate(now: number): number {
    // The first of them was computed before the time that is measured.
    const { at, samples } = this.#recent[0]!;
    return now > at ? ((this.#recentSamples - samples) / (now - at)) * 1000 : 0;
  }
}

/** 3, or 0-5. */
const shardsOf = ({ from, to }: EventOf<'step'>): string => (to - from === 1 ? `${from}` : `${from}-${to - 1}`);
