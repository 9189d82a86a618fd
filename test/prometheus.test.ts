/**
 * A run with two workers, read by a real Prometheus as deploy/prometheus configures it: everything that dashboards, rules
 * and runbook ask for must be there. Skipped where prometheus and promtool are not installed (Debian: apt install prometheus).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { offline, Running, smallDataset } from './lockstep.ts';
import { operandsOf } from './prometheus/expression.ts';
import { dashboards, expressions, type Placed, rules, runbook, substitute } from './prometheus/files.ts';
import { isInstalled, Prometheus, promtool, type Series } from './prometheus/server.ts';

const TOKEN = 'correct-horse-battery';
/** What people may call a worker, and what a text format has to get over. */
const NAME = 'bench "2" \\ left';
/** Time enough on a machine that does ten other things; less than a test may take. */
const PATIENCE_MS = 50_000;

describe.skipIf(!isInstalled)('Prometheus (skipped where it is not installed)', () => {
  let coordinator: Running;
  let worker: Running;
  let prometheus: Prometheus;
  let url: string;
  let variables: Record<string, string>;

  beforeAll(async () => {
    const env = { ...offline(), LOCKSTEP_TOKEN: TOKEN };
    // It learns slowly, and is tested on enough: a jump of its accuracy would be an alert.
    const job = ['--model', 'mlp', '--learning-rate', '0.0001', '--schedule', 'constant', '--batch-size', '64'];
    const rest = ['--epochs', '100000', '--workers', '1', '--port', '0', '--data-dir', smallDataset(3000, 1000)];
    coordinator = new Running(['train', '--json', ...job, ...rest], env);
    const { url: address } = await coordinator.event(({ event }) => event === 'listening');
    url = address.replace('ws://', 'http://');
    const instance = new URL(url).host;
    variables = { job: 'lockstep', instance, __rate_interval: '15s' };
    prometheus = await Prometheus.start(instance, TOKEN);
    worker = new Running(['join', address, '--workers', '1', '--name', NAME, '--json'], env);
    await coordinator.event(({ event, id, state }) => event === 'worker' && id === 'worker-1' && state === 'ready');
    await coordinator.event(({ event }) => event === 'epoch');
  });

  afterAll(async () => {
    for (const process of [worker, coordinator]) process?.kill('SIGKILL');
    await Promise.all([worker?.end, coordinator?.end, prometheus?.stop()]);
  });

  const get = (path: string): Promise<Response> =>
    fetch(`${url}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });

  /** Asks until the answer is as wanted, and returns the last one. */
  async function eventually<Value>(ask: () => Promise<Value>, isWanted: (value: Value) => boolean): Promise<Value> {
    for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(500)) {
      const value = await ask();
      if (isWanted(value) || Date.now() > deadline) return value;
    }
  }

  const isNumber = ({ value }: Series): boolean => Number.isFinite(Number(value[1]));

  /** Those of the expressions of which an operand has no series with a number. */
  async function withoutSeries(placed: readonly Placed[]): Promise<string[]> {
    const missing = placed.map(async ({ place, expression }) => {
      const operands = operandsOf(substitute(expression, variables));
      const answers = await Promise.all(operands.map((operand) => prometheus.query(operand)));
      return operands.flatMap((operand, i) => (answers[i]!.some(isNumber) ? [] : `${place}: ${operand.trim()}`));
    });
    return (await Promise.all(missing)).flat();
  }

  const numberOf = async (expression: string): Promise<number> =>
    Number((await prometheus.query(substitute(expression, variables)))[0]?.value[1]);

  it('finds series for every panel, rule and question of the runbook', async () => {
    expect(expressions.length).toBeGreaterThan(80);
    expect(
      await eventually(
        () => withoutSeries(expressions),
        ({ length }) => length === 0,
      ),
    ).toEqual([]);
  });

  it('would notice a metric that does not exist, in a comparison and behind "or" too', async () => {
    for (const expression of ['lockstep_nothing', 'lockstep_nothing > 5', 'lockstep_step or lockstep_nothing']) {
      expect(await withoutSeries([{ place: 'here', expression }])).toEqual(['here: lockstep_nothing']);
    }
    expect(
      await withoutSeries([{ place: 'here', expression: 'lockstep_run_state{state="asleep"} == 1' }]),
    ).toHaveLength(1);
  });

  it('finds the run for the variables of the dashboards', async () => {
    for (const { templating } of dashboards) {
      for (const { name, definition, type } of templating.list) {
        if (type !== 'query') continue;
        const [, match, label] = /^label_values\((.*), (\w+)\)$/.exec(definition)!;
        expect(await prometheus.labelValues(label!, substitute(match!, variables))).toEqual([variables[name]]);
      }
    }
  });

  it('evaluates every rule, and calls for nobody', async () => {
    const health = await eventually(
      () => prometheus.ruleHealth(),
      (all) => Object.values(all).every((one) => one === 'ok'),
    );
    expect(health).toEqual(Object.fromEntries(rules.map(({ record, alert }) => [record ?? alert, 'ok'])));
    expect((await prometheus.alerts()).filter(({ state }) => state === 'firing')).toEqual([]);
  });

  it('accepts the text, whatever a worker calls itself', async () => {
    const text = await (await get('/metrics')).text();
    expect(promtool(['check', 'metrics'], '.', text)).toEqual({ status: 0, output: '' });
    const workers = await prometheus.query('lockstep_worker_info');
    expect(workers.map(({ metric }) => metric.name).sort()).toEqual([NAME, 'local']);
    for (const name of [
      'process_cpu_seconds_total',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_gc_duration_seconds_count',
    ]) {
      expect(await prometheus.query(name)).not.toEqual([]);
    }
  });

  it('sees the run as its status does', async () => {
    const before = await numberOf('lockstep_step');
    const status = (await (await get('/api/status')).json()) as { runStep: number; totalSteps: number };
    const after = await eventually(
      () => numberOf('lockstep_step'),
      (step) => step > status.runStep,
    );
    expect(before).toBeLessThanOrEqual(status.runStep);
    expect(after).toBeGreaterThan(status.runStep);
    expect(await numberOf('lockstep_steps_planned')).toBe(status.totalSteps);
    expect(await numberOf('sum(lockstep_run_state)')).toBe(1);
    expect(await numberOf('sum(lockstep_worker_shards)')).toBe(8);
  });

  it('has few series, and those of a worker only while it is there', async () => {
    const all = 'count({job="$job", instance="$instance"})';
    const ofWorker = 'count({job="$job", worker="worker-1"})';
    const [numSeries, numOfWorker] = [await numberOf(all), await numberOf(ofWorker)];
    expect(numSeries).toBeLessThan(320);
    expect(numOfWorker).toBe(5);

    worker.kill('SIGINT');
    expect((await worker.end).code).toBe(130);
    expect(
      await eventually(
        () => prometheus.query(ofWorker),
        ({ length }) => length === 0,
      ),
    ).toEqual([]);
    // One scrape becomes visible series by series.
    for (const [expression, wanted] of [
      ['lockstep_workers{state="ready", kind="remote"}', 0],
      ['lockstep_worker_changes_total{state="left"}', 1],
    ] as const) {
      const ask = (): Promise<number> => numberOf(expression);
      expect(await eventually(ask, (number) => number === wanted)).toBe(wanted);
    }
    expect(await (await get('/metrics')).text()).not.toContain('worker-1');
    const names = async (): Promise<string[]> => (await prometheus.alerts()).map(({ labels }) => labels.alertname!);
    expect(await eventually(names, (all) => all.includes('LockstepWorkerGone'))).toEqual(['LockstepWorkerGone']);
  });

  it('is answered under every path that the runbook names', async () => {
    const paths = [...runbook.matchAll(/http:\/\/127\.0\.0\.1:7070(\/[\w/]*)/g)].map(([, path]) => path!);
    expect(paths.length).toBeGreaterThan(3);
    for (const path of paths) expect((await get(path)).status, path).toBe(200);
  });
});
