/** The command `lockstep bench`, as a user runs it. No test looks at how fast anything is. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchReport, benchReport } from '@lockstep/bench';
import { describe, expect, it } from 'vitest';
import { lockstep, offline, Running, smallDataset, temporaryFolder } from './lockstep.ts';

const data = smallDataset(2000, 50);
const env = { ...offline(), LOCKSTEP_DATA_DIR: data };
const TINY = ['--rounds', '3', '--seconds', '0.05'];
const SWEEP = ['bench', '--quick', '--models', 'mlp', '--workers', '1,2', '--remote', '1', ...TINY];
const PATIENTLY = { timeout: 240_000 };

const read = (path: string): string => readFileSync(path, 'utf8');

/** A report whose rates are so many times what was measured. */
function invented(report: Extract<BenchReport, { kind: 'training' }>, factor: number): string {
  const path = join(temporaryFolder(), 'old.json');
  const series = report.series.map((one) => ({
    ...one,
    points: one.points.map((point) => ({
      ...point,
      rate: {
        ...point.rate,
        median: point.rate.median * factor,
        low: point.rate.low * factor,
        high: point.rate.high * factor,
      },
    })),
  }));
  writeFileSync(path, JSON.stringify({ ...report, series }));
  return path;
}

/** Numbers of processes whose command line has the text; undefined where the system does not tell. */
function processesWith(text: string): number[] | undefined {
  if (!existsSync('/proc/self/cmdline')) return undefined;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return read(`/proc/${pid}/cmdline`).includes(text);
      } catch {
        // It has ended meanwhile.
        return false;
      }
    })
    .map(Number);
}

describe('lockstep bench', PATIENTLY, () => {
  it('sweeps over workers, writes three files, and compares with them', async () => {
    const cwd = temporaryFolder();
    const first = await lockstep([...SWEEP, '--out', 'report', '--json'], env, cwd);
    expect(first.code, first.stderr).toBe(0);
    expect(readdirSync(cwd)).toEqual(['report']);
    expect(readdirSync(join(cwd, 'report')).sort()).toEqual(['bench.json', 'bench.md', 'bench.svg']);
    const report = benchReport.parse(JSON.parse(read(join(cwd, 'report/bench.json'))));
    if (report.kind !== 'training') throw new Error(report.kind);
    expect(report.command).toContain('bench --quick --models mlp');
    const measured = report.series.flatMap(({ place, scaling, points }) =>
      points.map(({ workers, rates }) => [place, scaling, workers, rates.length]),
    );
    expect(measured).toEqual([
      ['local', 'strong', 1, 3],
      ['local', 'strong', 2, 3],
      ['remote', 'strong', 1, 3],
    ]);
    const [local, remote] = report.series;
    expect(local!.points[1]!.speedup!.median).toBeGreaterThan(0);
    expect(local!.points[1]!.phases!.compute).toBeGreaterThan(0);
    expect(local!.usl).toEqual({ kind: 'too-few', needed: 4, found: 2 });
    // Parameters to the worker and a sum back, each of 203,530 numbers and a little.
    const { bytesDown, bytesUp, partialSums } = remote!.points[0]!.network!;
    expect(bytesDown).toBeGreaterThan(814_000);
    expect(bytesDown).toBeLessThan(840_000);
    expect(bytesUp).toBeGreaterThan(814_000);
    expect(partialSums).toBeCloseTo(1, 1);
    expect(report.engineAlone).toHaveLength(1);
    expect(report.predictions.map(({ points }) => points.length)).toEqual([6, 6, 6]);
    expect(report.memory.oneThread).toBeGreaterThan(0);
    expect(read(join(cwd, 'report/bench.svg')).match(/class="point"/g)).toHaveLength(3);
    expect(read(join(cwd, 'report/bench.md'))).toContain('# How training scales over workers');

    const names = first.events.map(({ event }) => event);
    expect(names[0]).toBe('bench');
    expect(names.filter((name) => name === 'subject')).toHaveLength(4);
    expect(names.filter((name) => name === 'block')).toHaveLength(12);
    expect(names.at(-1)).toBe('done');

    const again = await lockstep([...SWEEP, '--out', 'report', '--json'], env, cwd);
    expect(again.code).toBe(1);
    expect(again.events).toEqual([expect.objectContaining({ event: 'error', code: 'output-exists' })]);

    const slower = await lockstep(
      [...SWEEP, '--out', 'slower', '--json', '--baseline', invented(report, 1000)],
      env,
      cwd,
    );
    expect(slower.code).toBe(1);
    expect(slower.events.at(-1)).toMatchObject({ event: 'error', code: 'regression' });
    expect(slower.events.at(-1).message).toContain('3 of 3 are slower');
    const compared = benchReport.parse(JSON.parse(read(join(cwd, 'slower/bench.json'))));
    expect(compared.comparison!.points.map(({ verdict }) => verdict)).toEqual(['slower', 'slower', 'slower']);

    const faster = await lockstep(
      [...SWEEP, '--out', 'faster', '--json', '--baseline', invented(report, 0.001)],
      env,
      cwd,
    );
    expect(faster.code, faster.stderr).toBe(0);
    expect(faster.events.at(-1)).toMatchObject({ event: 'done', slower: [] });
  });

  it('measures with workers that join, and leaves no process behind when it is interrupted', async () => {
    const cwd = temporaryFolder();
    const joined = ['bench', '--joined', '1', '--models', 'mlp', '--port', '0', ...TINY, '--out', 'report', '--json'];
    const run = new Running([...joined, '--host', '127.0.0.1', '--join-timeout', '60'], env, cwd);
    await run.event(({ event }) => event === 'waiting');
    const url = /npx lockstep join (ws:\S+)/.exec(run.text)![1]!;
    const worker = new Running(['join', url, '--workers', '1', '--json'], env, temporaryFolder());
    const { code, stderr } = await run.end;
    worker.kill('SIGKILL');
    expect(code, stderr).toBe(0);
    const report = benchReport.parse(JSON.parse(read(join(cwd, 'report/bench.json'))));
    if (report.kind !== 'training') throw new Error(report.kind);
    const [series] = report.series;
    expect(series).toMatchObject({
      place: 'joined',
      points: [{ workers: 1, members: [{ threads: 1, engine: expect.stringMatching(/^(native|onnx)$/) }] }],
    });
    expect(series!.points[0]!.members[0]!.rate).toBeGreaterThan(0);

    const long = [
      'bench',
      '--models',
      'mlp',
      '--workers',
      '0',
      '--remote',
      '1',
      '--rounds',
      '500',
      '--out',
      'long',
      '--json',
    ];
    const interrupted = new Running(long, env, cwd);
    await interrupted.event(({ event }) => event === 'block');
    // The workers' cache lies in a folder of their own, so that they can be told from those of other tests.
    const children = processesWith('dist/remote-worker.js')?.filter((pid) => {
      return read(`/proc/${pid}/stat`).split(') ')[1]!.split(' ')[1] === String(interrupted.child.pid);
    });
    if (children) expect(children).toHaveLength(1);
    interrupted.kill('SIGINT');
    const end = await interrupted.end;
    expect(end.code).toBe(130);
    expect(end.stderr).toContain('nothing was written');
    expect(end.events.at(-1)).toMatchObject({ event: 'error', code: 'interrupted' });
    expect(readdirSync(cwd)).toEqual(['report']);
    for (const pid of children ?? []) expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('ends its workers even when it is killed', async () => {
    const run = new Running(['bench', '--models', 'mlp', '--workers', '0', '--remote', '1', '--json'], env);
    await run.event(({ event, subject }) => event === 'subject' && subject.includes('loopback'));
    const mine = processesWith('dist/remote-worker.js')?.filter((pid) => {
      return read(`/proc/${pid}/stat`).split(') ')[1]!.split(' ')[1] === String(run.child.pid);
    });
    run.kill('SIGKILL');
    await run.end;
    for (const pid of mine ?? []) {
      for (let i = 0; i < 200 && existsSync(`/proc/${pid}`); i++) await sleep(50);
      expect(existsSync(`/proc/${pid}`)).toBe(false);
    }
  });

  it('compares engines, and says why some are skipped', async () => {
    const cwd = temporaryFolder();
    const args = [
      'bench',
      'engines',
      '--models',
      'mlp',
      '--engines',
      'onnx,tensorflow',
      '--batch-sizes',
      '8,16',
      ...TINY,
    ];
    const { code, stderr, events } = await lockstep([...args, '--out', 'engines', '--json'], env, cwd);
    expect(code, stderr).toBe(0);
    const { report } = events.at(-1);
    expect(benchReport.parse(report).kind).toBe('engines');
    const onnx = report.engines.filter(({ engine }: { engine: string }) => engine === 'onnx');
    expect(onnx.map(({ microBatch }: { microBatch: number }) => microBatch)).toEqual([8, 16]);
    expect(onnx[0].rates).toHaveLength(3);
    const tensorflow = report.engines.some(({ engine }: { engine: string }) => engine === 'tensorflow');
    if (!tensorflow) expect(report.skipped[0].reason).toMatch(/tfjs-node|Node/);
    expect(readdirSync(join(cwd, 'engines')).sort()).toEqual(['bench.json', 'bench.md']);
  });

  it('measures the coordinator alone', async () => {
    const cwd = temporaryFolder();
    const args = ['bench', 'aggregate', '--synthetic', '3', '--parameters', '50000', ...TINY];
    const { code, stderr, events } = await lockstep([...args, '--out', 'aggregate', '--json'], env, cwd);
    expect(code, stderr).toBe(0);
    const { report } = events.at(-1);
    expect(benchReport.parse(report)).toMatchObject({ kind: 'aggregate', workers: 3 });
    const { numParameters, update, traffic } = report;
    expect(Math.abs(numParameters / 50_000 - 1)).toBeLessThan(0.02);
    // Eight shards among three workers: nodes of 2, of 2 + 1 and of 1 + 2 shards.
    expect(update.bytes).toBe((5 + 6) * 4 * numParameters);
    expect(traffic.bytesDown / (3 * 4 * numParameters)).toBeCloseTo(1, 1);
    expect(traffic.bytesUp / (5 * 4 * numParameters)).toBeCloseTo(1, 1);
  });

  it('trains recipes, and says when they reached an accuracy', async () => {
    const cwd = temporaryFolder();
    const args = ['bench', 'accuracy', '--models', 'mlp', '--epochs', '3', '--targets', '1,0.2', '--seeds', '2'];
    const alone = ['--pytorch', 'none', '--out', 'accuracy', '--json'];
    const { code, stderr, events } = await lockstep([...args, ...alone], env, cwd);
    expect(code, stderr).toBe(0);
    const { report } = events.at(-1);
    expect(benchReport.parse(report)).toMatchObject({ kind: 'accuracy', targets: [0.2, 1] });
    expect(report.runs.map(({ seed }: { seed: number }) => seed)).toEqual([0, 1]);
    for (const { reached, epochs, seconds, accuracy } of report.runs) {
      const [first, second] = epochs.map(({ accuracy }: { accuracy: number }) => accuracy >= 0.2);
      expect(reached).toEqual([epochs[first ? 0 : second ? 1 : 2].seconds, null]);
      expect(epochs).toHaveLength(3);
      expect(epochs.at(-1)).toEqual({ seconds, accuracy });
    }
    // As a run of the same seed that nobody measures.
    const plain = await lockstep(['train', '--model', 'mlp', '--epochs', '3', '--seed', '1', '--json'], env, cwd);
    expect(report.runs[1].weightsSha256).toBe(plain.events.at(-1).weightsSha256);
    expect(readdirSync(join(cwd, 'accuracy')).sort()).toEqual(['bench.json', 'bench.md']);
  });

  it.each([
    [['bench', 'accuracy', '--targets', '88'], '--targets 88'],
    [['bench', 'accuracy', '--pytorch', '/nonexistent'], '--pytorch /nonexistent: /nonexistent cannot be started'],
    [['bench', '--workers', 'many'], '--workers many'],
    [['bench', '--models', 'nonsense', '--out', 'x'], 'nonsense is neither a known model nor a file'],
    [['bench', '--baseline', 'none.json', '--out', 'x'], '--baseline none.json: the file cannot be read (ENOENT)'],
    [['bench', '--workers', '0', '--remote', '0'], 'nothing to measure'],
    [['bench', 'engines', '--engines', 'abacus'], '--engines abacus'],
    [['bench', 'aggregate', '--synthetic', '0'], '--synthetic 0'],
    [['bench', 'sideways'], 'too many arguments'],
  ])('refuses %j with a next step and exit code 2', async (args, message) => {
    const { code, stderr } = await lockstep(args, env);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});
