/** What a record says after the events of a run. */
import { LockstepError } from '@lockstep/core';
import { runStatus, type TrainEvent } from '@lockstep/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dataset, done, epoch, member, model, newRecord, progress, report, step, worker } from './testing/run.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'], now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

describe('state', () => {
  it.each<[string, TrainEvent[]]>([
    ['starting', []],
    ['starting', [dataset, model, worker('local', 'ready')]],
    ['waiting', [{ event: 'waiting', ready: 0, needed: 2 }]],
    ['training', [progress('train')]],
    ['evaluating', [progress('train'), progress('evaluate')]],
    ['evaluating', [progress('evaluate'), epoch(1)]],
    ['training', [progress('evaluate'), epoch(1), progress('train')]],
    ['finished', [progress('evaluate'), epoch(2), done]],
  ])('%s', (state, events) => {
    const record = newRecord();
    for (const event of events) record.event(event);
    expect(record.status().state).toBe(state);
  });

  it('says why it waits, and no longer once it trains', () => {
    const record = newRecord();
    record.event({ event: 'waiting', ready: 1, needed: 2 });
    expect(record.status().reason).toBe('1 of 2 workers are ready');
    record.step(step(1));
    expect(record.status()).toMatchObject({ state: 'training', reason: undefined });
  });

  it('tells a run that was stopped from one that failed', () => {
    const stopped = newRecord();
    stopped.ended(new LockstepError('interrupted', 'Interrupted in epoch 1.', 'Go on.'));
    expect(stopped.status()).toMatchObject({ state: 'stopped', reason: 'Interrupted in epoch 1.' });
    const failed = newRecord();
    failed.ended(new Error('no space left'));
    expect(failed.status()).toMatchObject({ state: 'failed', reason: 'no space left' });
    expect(failed.status().log.at(-1)).toMatchObject({ level: 'error', text: 'no space left' });
  });
});

describe('steps', () => {
  it('give position, rate and time left', () => {
    const record = newRecord();
    record.event(model);
    for (let i = 1; i <= 60; i++) {
      vi.advanceTimersByTime(100);
      record.step(step(i));
    }
    const status = record.status();
    expect(status).toMatchObject({ runStep: 60, totalSteps: 100, epoch: 2, fraction: 0.6 });
    expect(status.samplesPerSecond).toBeCloseTo(800, 6);
    expect(status.etaSeconds).toBeCloseTo(4, 6);
    expect(record).toMatchObject({ numSteps: 60, numSamples: 4800, lastStepAt: 1_006_000 });
    expect(status.curve.runStep).toHaveLength(60);
    record.event(done);
    expect(record.status().etaSeconds).toBeUndefined();
  });

  it('that come in one go do not look like a flash', () => {
    const record = newRecord();
    for (let i = 1; i <= 40; i++) record.step(step(i));
    expect(Math.max(...record.status().curve.samplesPerSecond)).toBe(0);
  });

  it('of a resumed run are counted from where it goes on', () => {
    const record = newRecord();
    record.event(model);
    record.event({ event: 'resumed', runDir: 'runs/x', epoch: 2, step: 10, runStep: 60 });
    expect(record.status()).toMatchObject({ runStep: 60, epoch: 2, fraction: 0.6 });
    record.step(step(61));
    expect(record).toMatchObject({ runStep: 61, numSteps: 1 });
  });
});

describe('reports', () => {
  it('give members their own rates, shares and waits', () => {
    const record = newRecord([member('local'), member('worker-1')]);
    record.event(model);
    record.report(report({ local: 10, 'worker-1': 40 }, { heldUp: { member: 'worker-1', ms: 30 } }));
    record.report(report({ local: 10, 'worker-1': 40 }, { heldUp: { member: 'worker-1', ms: 30 } }));
    // 4 of 8 shards of a batch of 80 in 10 ms, and in 40 ms.
    expect(record.ownRate('local')).toBeCloseTo(4000, 6);
    expect(record.ownRate('worker-1')).toBeCloseTo(1000, 6);
    expect(record.shardsOf('worker-1')).toBe(4);
    expect(Object.fromEntries(record.heldUpMs)).toEqual({ 'worker-1': 60 });
    expect(record.status().members.map(({ id, waitMs }) => [id, waitMs])).toEqual([
      ['local', undefined],
      ['worker-1', 30],
    ]);
    expect(record.status().phases).toEqual({ broadcast: 1, compute: 10, gather: 5, update: 4 });
    record.report(report({ local: 20 }));
    expect(record.status().members[1]!.waitMs).toBe(0);
    expect([record.shardsOf('local'), record.shardsOf('worker-1')]).toEqual([8, 0]);
  });

  it('give the efficiency of those who computed the latest step', () => {
    const record = newRecord([member('local'), member('worker-1')]);
    record.event(model);
    expect(record.efficiency).toBeUndefined();
    record.report(report({ local: 10, 'worker-1': 40 }));
    for (let i = 1; i <= 30; i++) {
      vi.advanceTimersByTime(20);
      record.step(step(i));
    }
    // 4,000 samples a second of 4,000 and 1,000.
    expect(record.efficiency).toBeCloseTo(0.8, 6);
    // The threads alone: 8,000.
    for (let i = 0; i < 200; i++) record.report(report({ local: 10 }));
    expect(record.efficiency).toBeCloseTo(0.5, 3);
    vi.advanceTimersByTime(10_000);
    expect(record.efficiency).toBeUndefined();
  });

  it('of members that are gone leave nothing behind', () => {
    const members = [member('local'), member('worker-1')];
    const record = newRecord(members);
    record.event(model);
    const late = report({ local: 10, 'worker-1': 40 }, { heldUp: { member: 'worker-1', ms: 30 } });
    record.report(late);
    members.pop();
    record.event(worker('worker-1', 'left'));
    const nothing = (): void => {
      expect(record.ownRate('worker-1')).toBeUndefined();
      expect(record.shardsOf('worker-1')).toBe(0);
      expect(record.heldUpMs.has('worker-1')).toBe(false);
    };
    nothing();
    // It answered, left, and only then did the step end.
    record.report(late);
    nothing();
    expect(record.ownRate('local')).toBeDefined();
  });
});

describe('evaluated', () => {
  it('counts true against predicted classes, and shows the first pictures', () => {
    const record = newRecord();
    record.evaluated(3, Uint8Array.of(0, 0, 1, 2, 2), Uint8Array.of(0, 1, 1, 2, 0), 2);
    expect(record.status().predictions).toEqual({
      epoch: 3,
      confusion: [
        [1, 1, 0],
        [0, 1, 0],
        [1, 0, 1],
      ],
      pictures: [
        { label: 0, predicted: 0 },
        { label: 0, predicted: 1 },
      ],
    });
  });
});

describe('log', () => {
  it('keeps the latest 200 lines, oldest first', () => {
    const record = newRecord();
    for (let i = 1; i <= 500; i++) record.event(epoch(i));
    const { log } = record.status();
    expect(log).toHaveLength(200);
    expect(log[0]!.text).toContain('Epoch 301:');
    expect(log.at(-1)!.text).toContain('Epoch 500:');
  });

  it('has a sentence for what people should know, and none for what happens all the time', () => {
    const record = newRecord();
    const quiet: TrainEvent[] = [dataset, model, progress('train'), step(1)];
    const speculated: TrainEvent = {
      event: 'reassigned',
      runStep: 4,
      worker: 'local',
      from: 0,
      to: 1,
      cause: 'speculated',
    };
    for (const event of [...quiet, speculated]) record.event(event);
    expect(record.status().log).toEqual([]);
    record.event({ ...speculated, to: 2, cause: 'lost' });
    record.event(worker('worker-1', 'quarantined'));
    record.event({ event: 'error', fatal: false, code: 'checkpoint-failed', message: 'No space.' });
    expect(record.status().log.map(({ level, text }) => [level, text])).toEqual([
      ['warning', 'Step 5: local computes shards 0 to 1 (lost)'],
      ['warning', 'worker-1 quarantined: it said so'],
      ['warning', 'No space.'],
    ]);
  });
});

describe('status', () => {
  it('is what the protocol says, at every time of a run', () => {
    const record = newRecord([member('local', { shards: { from: 0, to: 8 } }), member('worker-1')]);
    const check = (): void => {
      expect(() => runStatus.parse(JSON.parse(JSON.stringify(record.status())))).not.toThrow();
    };
    check();
    for (const event of [dataset, model, worker('local', 'ready')]) record.event(event);
    check();
    record.report(report({ local: 10, 'worker-1': 20 }, { heldUp: { member: 'worker-1', ms: 10 } }));
    record.step(step(1));
    check();
    record.evaluated(1, Uint8Array.of(0, 1), Uint8Array.of(0, 2), 2);
    for (const event of [epoch(1), done]) record.event(event);
    check();
    expect(record.status()).toMatchObject({
      result: { testLoss: 0.6, testAccuracy: 0.8 },
      refused: { duplicate: 3 },
      reassigned: { lost: 2 },
    });
  });
});
