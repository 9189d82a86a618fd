/** A real Prometheus in a process of its own, with the configuration of deploy/prometheus in a temporary folder. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { temporaryFolder } from '../lockstep.ts';
import { PROMETHEUS } from './files.ts';

/** Whether both programs are there. */
export const isInstalled = ['prometheus', 'promtool'].every((name) => spawnSync(name, ['--version']).status === 0);

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

/** Runs promtool in a folder. @param input for its standard input */
export function promtool(args: readonly string[], cwd: string, input = ''): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd, input, encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

/** The folder deploy/prometheus with a token beside it, in the state in which it is used. */
export function preparedFolder(token: string): string {
  const folder = join(temporaryFolder(), 'prometheus');
  cpSync(PROMETHEUS, folder, { recursive: true });
  mkdirSync(join(folder, 'targets'));
  writeFileSync(join(folder, 'lockstep-token'), token, { mode: 0o600 });
  return folder;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export class Prometheus {
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly #folder: string;
  #log = '';

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#url = `http://127.0.0.1:${port}`;
    const settings = [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    this.#child = spawn('prometheus', settings, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
  }

  /**
   * Scrapes every second, and evaluates rules as often.
   * @param target host:port, found by a file of targets as in the example
   */
  static async start(target: string, token: string): Promise<Prometheus> {
    const folder = preparedFolder(token);
    const config = parse(readFileSync(join(folder, 'prometheus.yml'), 'utf8'));
    config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
    delete config.scrape_configs[0].static_configs;
    writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
    writeFileSync(join(folder, 'targets/run.yml'), stringify([{ targets: [target] }]));
    const prometheus = new Prometheus(folder, await freePort());
    await prometheus.#ready();
    return prometheus;
  }

  /** @throws Error when the expression is wrong */
  async query(expression: string): Promise<Series[]> {
    const data = await this.#get('/api/v1/query', { query: expression });
    return data.resultType === 'scalar' ? [{ metric: {}, value: data.result }] : data.result;
  }

  /** Values of a label over all series that match. */
  labelValues(label: string, match: string): Promise<string[]> {
    return this.#get(`/api/v1/label/${label}/values`, { 'match[]': match });
  }

  async alerts(): Promise<Alert[]> {
    return (await this.#get('/api/v1/alerts', {})).alerts;
  }

  /** State of each alerting and recording rule, by name: `ok`, `err` or `unknown`. */
  async ruleHealth(): Promise<Record<string, string>> {
    const { groups } = await this.#get('/api/v1/rules', {});
    const rules: { name: string; health: string }[] = groups.flatMap(({ rules }: { rules: object[] }) => rules);
    return Object.fromEntries(rules.map(({ name, health }) => [name, health]));
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    rmSync(this.#folder, { recursive: true });
  }

  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the path
  async #get(path: string, parameters: Record<string, string>): Promise<any> {
    const response = await fetch(`${this.#url}${path}?${new URLSearchParams(parameters)}`);
    const { status, error, data } = (await response.json()) as { status: string; error?: string; data: unknown };
    if (status !== 'success') throw new Error(`${error}: ${JSON.stringify(parameters)}`);
    return data;
  }

  async #ready(): Promise<void> {
    for (let i = 0; i < 300; i++) {
      if (this.#child.exitCode !== null) break;
      const response = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
      if (response?.ok) return;
      await sleep(100);
    }
    throw new Error(`Prometheus does not start: ${this.#log}`);
  }
}
