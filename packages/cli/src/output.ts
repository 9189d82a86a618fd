/** Where words go: people's to the terminal, programs' as JSON lines to standard output. */
import type { ErrorEvent, TrainEvent } from '@lockstep/protocol';
import { createLogUpdate } from 'log-update';
import pc from 'picocolors';

const BAR_WIDTH = 24;
/** Off a terminal a line of progress appears this often. */
const PLAIN_INTERVAL_MS = 10_000;

export class Output {
  readonly json: boolean;
  readonly #stream: NodeJS.WriteStream;
  readonly #live: ReturnType<typeof createLogUpdate> | undefined;
  #plainAt = performance.now();

  constructor(json: boolean) {
    this.json = json;
    this.#stream = json ? process.stderr : process.stdout;
    this.#live = this.#stream.isTTY ? createLogUpdate(this.#stream) : undefined;
    // A reader that goes away (`| head`) ends the output, not the run with a stack trace.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }

  /** Whether lines can be replaced. */
  get isLive(): boolean {
    return this.#live !== undefined;
  }

  /** Columns of the terminal. */
  get width(): number {
    return this.#stream.columns ?? 80;
  }

  /** A line for people. */
  line(text = ''): void {
    this.#live?.clear();
    this.#stream.write(`${text}\n`);
  }

  /** A line for people that stands apart from the run of the text. */
  notice(text: string): void {
    this.line(pc.yellow(pc.bold(`!  ${text}`)));
  }

  /** A line of progress that replaces the one before; off a terminal only now and then. */
  progress(text: string): void {
    if (this.#live) {
      this.#live(text);
      return;
    }
    const now = performance.now();
    if (now - this.#plainAt < PLAIN_INTERVAL_MS) return;
    this.#plainAt = now;
    this.line(text);
  }

  /** Removes the line of progress. */
  endProgress(): void {
    this.#live?.clear();
    this.#live?.done();
  }

  /** An object for programs; nothing unless --json was given. */
  event(event: TrainEvent | ErrorEvent | object): void {
    if (this.json) process.stdout.write(`${JSON.stringify(event)}\n`);
  }
}

/** A bar of fixed width. @param fraction 0..1 */
export function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return pc.cyan('█'.repeat(filled)) + pc.dim('░'.repeat(BAR_WIDTH - filled));
}

/**
 * Lines of a table: the first column to the left, the others to the right.
 * @param head undefined for none
 */
export function table(head: readonly string[] | undefined, rows: readonly (readonly string[])[]): string[] {
  const all = head ? [head, ...rows] : rows;
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
}

/** 75 -> 1:15, 3700 -> 1:01:40. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours === 0 ? `${minutes}:${two(whole % 60)}` : `${hours}:${two(minutes)}:${two(whole % 60)}`;
}

/** 12345.6 -> 12,346. */
export const integer = (value: number): string => Math.round(value).toLocaleString('en-US');

export const percent = (fraction: number): string => `${(fraction * 100).toFixed(2)} %`;

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
