/** A child process that is timed: it speaks JSON lines (lines.js, lines.py), and waits until it is asked for a block. */
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Of util-linux: runs a command on some of the cores. */
const PIN = 'taskset';
export const canPin = spawnSync(PIN, ['-c', '0', 'true']).status === 0;

/** The core of the comparisons on one core: the last, since interrupts go to the first more often. */
const CORE = availableParallelism() - 1;

/** Of one that ends by itself; Ray takes down a whole cluster. */
const PATIENCE_MS = 60_000;

/** Settings that the peers' own guides advise, and less chatter. */
export const environment = {
  ...process.env,
  // Vectorised operations; TensorFlow's default on some processors only.
  TF_ENABLE_ONEDNN_OPTS: '1',
  TF_CPP_MIN_LOG_LEVEL: '2',
  // Beside the sources nothing is to be left.
  PYTHONDONTWRITEBYTECODE: '1',
  CUDA_VISIBLE_DEVICES: '',
  // Nothing is reported to anybody.
  RAY_USAGE_STATS_ENABLED: '0',
};

export class Subject {
  #child;
  #lines;
  #errors = '';
  #ended;
  /** What the child said first. */
  hello;

  /**
   * @param name what tables call it
   * @param command interpreter, program (a file URL), and what it is told
   * @param pinned whether it runs on {@link CORE} alone
   */
  constructor(name, [interpreter, program, ...args], { pinned = false } = {}) {
    this.name = name;
    const command = [interpreter, fileURLToPath(program), ...args.map(String)];
    const [file, ...rest] = pinned && canPin ? [PIN, '-c', String(CORE), ...command] : command;
    this.#child = spawn(file, rest, { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
      this.#child.on('close', resolve);
    });
    this.#child.stdin.on('error', () => {}); // It ended: the missing answer says so.
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  async #answer() {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) {
        await this.#ended;
        throw new Error(`${this.name} ended: ${this.#errors.trim().split('\n').slice(-3).join(' | ')}`);
      }
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }

  /** Waits until it has made ready. */
  async ready() {
    this.hello = await this.#answer();
    return this;
  }

  /** @param settings what the child's block takes @returns what it answers, such as its rate in samples per second */
  block(settings = {}) {
    this.#child.stdin.write(`${JSON.stringify(settings)}\n`);
    return this.#answer();
  }

  /** Lets it end by itself: its standard input is over. */
  async close() {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}
