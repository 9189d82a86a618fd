// What becomes of a child that does not do as it should: stand-ins in the place of the interpreter, which speak its lines.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel } from '@lockstep/coordinator';
import { afterAll, describe, expect, it } from 'vitest';
import { type TorchJob, torchJob } from './torch-job.ts';
import { type TorchEvent, trainWithTorch } from './torch-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function interpreter(name: string, script: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\njob=$(cat)\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const job = async (): Promise<TorchJob> =>
  torchJob(await loadModel('mlp'), { model: 'mlp' }, { folder, numTrain: 1000 });

async function eventsOf(python: string, signal?: AbortSignal): Promise<TorchEvent[]> {
  const events: TorchEvent[] = [];
  for await (const event of trainWithTorch(python, await job(), signal)) events.push(event);
  return events;
}

const READY = `echo '{"event":"ready","torch":"2","threads":1,"layout":"contiguous","parameters":1}'`;
const EPOCH = `echo '{"event":"epoch","epoch":1,"seconds":1.5,"accuracy":0.5}'`;

describe.skipIf(process.platform === 'win32')('trainWithTorch (skipped where there are no shell scripts)', () => {
  it('hands the job over, yields what matters, and passes over the rest', async () => {
    const script = `echo "$job" > ${folder}/job; ${READY}; echo a warning; echo '{"event":"alive"}'; ${EPOCH}; echo '{"event":"done"}'`;
    const events = await eventsOf(interpreter('good', script));
    expect(events.map(({ event }) => event)).toEqual(['ready', 'epoch']);
    expect(JSON.parse(readFileSync(join(folder, 'job'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(await job())));
  });

  it.each([
    ['says why it cannot', `echo '{"event":"refused","reason":"no such layer"}'; sleep 600`, 'no such layer'],
    ['ends early', `${READY}; echo "first" >&2; echo "out of memory" >&2; exit 1`, 'out of memory'],
    ['ends without a word', `${READY}`, 'its process ended early'],
    ['says something else', `echo '{"event":"epoch"}'; sleep 600`, 'it said "{"event":"epoch"}"'],
    ['never ends its line', `head -c 100000 /dev/zero; sleep 600`, 'makes no sense'],
  ])('fails with the reason when the program %s', async (_, script, reason) => {
    await expect(eventsOf(interpreter('bad', script))).rejects.toMatchObject({
      code: 'worker-failed',
      message: expect.stringContaining(reason),
    });
  });

  it('fails when the program cannot be started', async () => {
    await expect(eventsOf(join(folder, 'absent'))).rejects.toMatchObject({ code: 'worker-failed' });
  });

  it('ends the process when it is interrupted, and when the caller leaves', async () => {
    const endless = interpreter('endless', `echo $$ > ${folder}/pid; ${READY}; exec sleep 600`);
    const pid = (): number => Number(readFileSync(join(folder, 'pid'), 'utf8'));
    const controller = new AbortController();
    const run = trainWithTorch(endless, await job(), controller.signal);
    await run.next();
    const waiting = run.next();
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    expect(() => process.kill(pid(), 0)).toThrow();

    const left = trainWithTorch(endless, await job(), undefined);
    await left.next();
    await left.return();
    expect(() => process.kill(pid(), 0)).toThrow();
  });
});
