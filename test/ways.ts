/** Ways to train the same job, which must all end with the same weights. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { lockstep, offline, Running, temporaryFolder } from './lockstep.ts';

const sha256Of = (events: readonly { readonly weightsSha256?: string }[]): string => events.at(-1)!.weightsSha256!;

const SLOW_LINK = fileURLToPath(new URL('../scripts/slow-link.js', import.meta.url));

export class Ways {
  readonly #job: readonly string[];
  readonly #dataDir: string;
  readonly #running: Running[] = [];
  readonly #lines: ChildProcess[] = [];

  /** @param job flags of `train`, without those for the data */
  constructor(job: readonly string[], dataDir: string) {
    this.#job = [...job, '--data-dir', dataDir];
    this.#dataDir = dataDir;
    afterAll(async () => {
      for (const process of [...this.#running, ...this.#lines]) process.kill('SIGKILL');
      await Promise.all(this.#running.map(({ end }) => end));
    });
  }

  async local(args: readonly string[], workers: number): Promise<string> {
    const flags = ['train', ...this.#job, ...args, '--workers', String(workers), '--json'];
    const { code, events, stderr } = await lockstep(flags);
    expect(code, stderr).toBe(0);
    return sha256Of(events);
  }

  /**
   * Gradients come from local threads and from workers that dial in, over a line of so many Mbit/s if that is given; `disturb` may do
   * them harm.
   */
  async remote(
    args: readonly string[],
    {
      workers = 0,
      joiners = 1,
      mbit,
    }: { readonly workers?: number; readonly joiners?: number; readonly mbit?: number } = {},
    disturb?: (coordinator: Running, joiners: readonly Running[], join: () => Running) => Promise<void>,
  ): Promise<string> {
    const needed = joiners + Math.min(workers, 1);
    const places = ['--workers', String(workers), '--min-workers', String(needed), '--port', '0', '--json'];
    const coordinator = this.#start(['train', ...this.#job, ...args, ...places]);
    const { url } = await coordinator.event(({ event }) => event === 'listening');
    const near = mbit === undefined ? url : await this.#slowLine(url, mbit);
    const dial = (): Running => this.#start(['join', near, '--workers', '1', '--json']);
    await disturb?.(coordinator, Array.from({ length: joiners }, dial), dial);
    if (!disturb) for (let i = 0; i < joiners; i++) dial();
    const { code, events, stderr } = await coordinator.end;
    expect(code, stderr).toBe(0);
    return sha256Of(events);
  }

  /** What would be left of a run that was ended after step `last` goes on with another number of workers. */
  async resumed(args: readonly string[], last: number): Promise<string> {
    const cwd = temporaryFolder();
    const keep = ['--checkpoint-every', '1', '--keep-checkpoints', '999', '--run-dir', 'run'];
    await lockstep(['train', ...this.#job, ...args, ...keep, '--workers', '2', '--json'], offline(), cwd);
    const checkpoints = join(cwd, 'run', 'checkpoints');
    const behind = String(last + 1).padStart(9, '0');
    for (const name of readdirSync(checkpoints)) if (name >= behind) rmSync(join(checkpoints, name));
    rmSync(join(cwd, 'run', 'weights.safetensors'));
    const goOn = ['train', '--resume', 'run', '--data-dir', this.#dataDir, '--workers', '1', '--json'];
    const { code, events, stderr } = await lockstep(goOn, offline(), cwd);
    expect(code, stderr).toBe(0);
    expect(events.find(({ event }) => event === 'resumed').runStep).toBe(last);
    return sha256Of(events);
  }

  /** The address of a slow line to another address. */
  async #slowLine(url: string, mbit: number): Promise<string> {
    const line = fork(SLOW_LINK, [new URL(url).port, String(mbit)]);
    this.#lines.push(line);
    const [port] = await once(line, 'message', { signal: AbortSignal.timeout(10_000) });
    return `ws://127.0.0.1:${port}`;
  }

  #start(args: readonly string[]): Running {
    const process = new Running(args);
    this.#running.push(process);
    return process;
  }
}
