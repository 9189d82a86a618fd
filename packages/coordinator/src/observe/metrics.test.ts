/** The text that Prometheus reads. */
import { describe, expect, it } from 'vitest';
import { type MetricDefinition, metricDefinitions } from './metric-definitions.ts';
import { type MetricSources, RunMetrics } from './metrics.ts';
import { dataset, epoch, member, model, newRecord, report, step } from './testing/run.ts';

const definitions: MetricDefinition[] = Object.values(metricDefinitions);

/** Metrics of a run with the given members, and what they show as a map from series to value. */
function metricsOf(members: Parameters<typeof newRecord>[0] = [], more: Partial<MetricSources> = {}) {
  const record = newRecord(members);
  const metrics = new RunMetrics(record, {
    members: () => members ?? [],
    bytes: () => ({ sent: 10, received: 20 }),
    refused: () => ({ duplicate: 3 }),
    refusedConnections: () => ({}),
    reassigned: () => ({ lost: 2 }),
    viewers: () => 1,
    engine: 'onnx on cpu',
    minWorkers: 2,
    stallBoundSeconds: 5.45,
    ...more,
  });
  const series = async (): Promise<Map<string, number>> => {
    const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const pairs = lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))] as const);
    expect(new Set(pairs.map(([name]) => name)).size).toBe(pairs.length);
    return new Map(pairs);
  };
  return { record, metrics, series };
}

/** A run in which everything has happened. */
function busyRun() {
  const run = metricsOf([member('local'), member('worker-1'), member('worker-2', { state: 'quarantined' })]);
  run.record.event(dataset);
  run.record.event(model);
  for (const said of [report({ local: 10, 'worker-1': 20 })]) {
    run.record.report(said);
    run.metrics.report(said);
  }
  run.record.step(step(1));
  run.record.event(epoch(1, 0.75));
  run.metrics.checkpoint('saved', 0.25);
  run.metrics.workerChanged('ready');
  return run;
}

const hasSeries = (series: ReadonlyMap<string, number>, name: string): boolean =>
  [...series.keys()].some((key) => key.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '') === name);

describe('definitions', () => {
  it.each(definitions)('$name is named as Prometheus wants it', ({ name, type, help, labels }) => {
    expect(name).toMatch(/^lockstep_[a-z]+(_[a-z]+)*$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(name).not.toMatch(/milli|micro|nano|minutes|hours|_ms\b|kilo|mega|percent/);
    for (const label of Object.keys(labels)) expect(label).toMatch(/^[a-z]+(_[a-z]+)*$/);
    for (const reserved of ['le', 'quantile', 'job', 'instance']) expect(labels).not.toHaveProperty(reserved);
    expect(help).toMatch(/^[A-Z0-9].*[^.]\.$/);
    if (type === 'histogram' || help.startsWith('Time')) expect(name).toMatch(/_seconds(_total)?$/);
  });

  it('are all different', () => {
    expect(new Set(definitions.map(({ name }) => name)).size).toBe(definitions.length);
    expect(new Set(definitions.map(({ help }) => help)).size).toBe(definitions.length);
  });

  it('know the labels of counters, so that these begin at 0', () => {
    const open = definitions.filter(
      ({ type, labels }) => type === 'counter' && Object.values(labels).some((values) => values.length === 0),
    );
    expect(open.map(({ name }) => name)).toEqual(['lockstep_worker_held_up_seconds_total']);
    // Otherwise combinations of labels would have to begin at 0.
    for (const { type, labels } of definitions) {
      if (type === 'counter') expect(Object.keys(labels).length).toBeLessThanOrEqual(1);
    }
  });
});

describe('RunMetrics', () => {
  it('shows every metric, with its type, meaning and labels', async () => {
    const { metrics, series } = busyRun();
    // Efficiency needs steps over some time; see below.
    const shown = definitions.filter(({ name }) => name !== metricDefinitions.efficiency.name);
    const text = await metrics.text();
    const all = await series();
    for (const { name, type, help, labels } of shown) {
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
      expect(hasSeries(all, name), name).toBe(true);
      const keys = [...all.keys()].filter((key) => key.startsWith(`${name}{`));
      for (const key of keys) {
        expect([...key.matchAll(/[{,](\w+)=/g)].map(([, label]) => label)).toEqual(Object.keys(labels));
      }
    }
    expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text.endsWith('\n')).toBe(true);
  });

  it('shows what Node says of itself, under proper names', async () => {
    const { metrics, series } = metricsOf();
    const all = await series();
    for (const name of [
      'process_cpu_seconds_total',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_heap_size_used_bytes',
    ]) {
      expect(hasSeries(all, name), name).toBe(true);
    }
    const gauges = [...(await metrics.text()).matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name!);
    expect(gauges.filter((name) => name.endsWith('_total'))).toEqual([]);
  });

  it('shows values as they are now', async () => {
    const { series } = busyRun();
    const all = await series();
    expect(
      Object.fromEntries([...all].filter(([name]) => /^lockstep_(step|steps|epoch|train|test)/.test(name))),
    ).toMatchObject({
      lockstep_step: 1,
      lockstep_steps_total: 1,
      lockstep_steps_planned: 100,
      lockstep_epoch: 1,
      lockstep_train_loss: 1,
      lockstep_train_accuracy_ratio: 0.5,
      lockstep_test_accuracy_ratio: 0.75,
      lockstep_step_seconds_sum: 0.02,
      'lockstep_step_phase_seconds_sum{phase="gather"}': 0.005,
    });
    expect(all.get('lockstep_run_state{state="training"}')).toBe(1);
    expect(all.get('lockstep_run_state{state="waiting"}')).toBe(0);
    expect(all.get('lockstep_workers{state="ready",kind="remote"}')).toBe(1);
    expect(all.get('lockstep_workers{state="quarantined",kind="remote"}')).toBe(1);
    expect(all.get('lockstep_workers_needed')).toBe(2);
    expect(all.get('lockstep_worker_shards{worker="worker-1"}')).toBe(4);
    expect(all.get('lockstep_worker_round_trip_seconds{worker="worker-1"}')).toBe(0.002);
    expect(all.get('lockstep_network_bytes_total{direction="received"}')).toBe(20);
    expect(all.get('lockstep_refused_total{reason="duplicate"}')).toBe(3);
    expect(all.get('lockstep_reassigned_shards_total{cause="lost"}')).toBe(2);
    expect(all.get('lockstep_checkpoint_seconds')).toBe(0.25);
  });

  it('does not show what is not known yet', async () => {
    const { metrics, series } = metricsOf();
    const all = await series();
    const unknown = ['trainLoss', 'trainAccuracy', 'testLoss', 'testAccuracy', 'learningRate', 'lastStep'] as const;
    for (const key of [...unknown, 'efficiency', 'checkpointSeconds', 'run', 'stepsPlanned'] as const) {
      expect(hasSeries(all, metricDefinitions[key].name), key).toBe(false);
    }
    expect(await metrics.text()).not.toMatch(/NaN|undefined/);
  });

  it('begins every counter at 0, so that a first failure is an increase', async () => {
    const { metrics, series } = metricsOf([], {
      refused: () => ({}),
      reassigned: () => ({}),
      bytes: () => ({ sent: 0, received: 0 }),
    });
    const all = await series();
    for (const { name, type, labels } of definitions) {
      if (type !== 'counter') continue;
      const [[label, values] = ['', []]] = Object.entries(labels);
      for (const value of values) expect(all.get(`${name}{${label}="${value}"}`)).toBe(0);
      if (label === '') expect(all.get(name)).toBe(0);
    }
    metrics.checkpoint('failed', 0.1);
    expect((await series()).get('lockstep_checkpoints_total{result="failed"}')).toBe(1);
  });

  it('shows a reason that nobody thought of', async () => {
    const { series } = metricsOf([], { refused: () => ({ 'wrong mood': 1 }) });
    const all = await series();
    expect(all.get('lockstep_refused_total{reason="wrong mood"}')).toBe(1);
    expect(all.get('lockstep_refused_total{reason="silent"}')).toBe(0);
  });

  it('forgets workers that are gone, and shows none that has not said who it is', async () => {
    const members = [member('local'), member('worker-1'), member('worker-2', { state: 'connected' })];
    const { series } = metricsOf(members);
    const idsIn = (all: ReadonlyMap<string, number>): unknown[] =>
      [...new Set([...all.keys()].flatMap((key) => /worker="([^"]*)"/.exec(key)?.[1] ?? []))].sort();
    expect(idsIn(await series())).toEqual(['local', 'worker-1']);
    members.splice(1, 1);
    expect(idsIn(await series())).toEqual(['local']);
  });

  it('keeps the format whatever workers call themselves', async () => {
    const name = 'a"b\\c\nlockstep_step 7';
    const { series } = metricsOf([member('worker-1', { name })]);
    const [key] = [...(await series()).keys()].filter((key) => key.startsWith('lockstep_worker_info{'));
    expect(key).toContain(String.raw`name="a\"b\\c\nlockstep_step 7"`);
  });

  it('gives the same to two who ask at once', async () => {
    const { metrics } = busyRun();
    const own = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('lockstep_'));
    const [first, second] = await Promise.all([metrics.text(), metrics.text()]);
    expect(own(first)).toEqual(own(second));
    expect(own(first).length).toBeGreaterThan(100);
  });
});
