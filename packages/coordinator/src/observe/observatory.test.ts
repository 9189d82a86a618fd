/** What a run shows over HTTP, and to whom. */
import { syntheticDataset } from '@lockstep/dataset';
import { runStatus } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import type { Fleet } from '../fleet/index.ts';
import { bearer, httpUrl, openServer } from '../server/testing/peers.ts';
import { Observatory } from './observatory.ts';
import { done, epoch, member, model, report, step, worker } from './testing/run.ts';

async function observe() {
  const { server } = await openServer();
  const fleet = {
    members: [member('local')],
    isReady: false,
    bytes: { sent: 0, received: 0 },
    refused: { toJSON: () => ({}) },
    reassigned: { toJSON: () => ({}) },
  };
  const observatory = new Observatory({
    fleet: fleet as unknown as Fleet,
    dataset: syntheticDataset({ seed: 1, numTrain: 10, numTest: 50 }),
    version: '1.2.3',
    engine: 'onnx on cpu',
    minWorkers: 1,
    stallBoundSeconds: 5,
  });
  observatory.serve(server, undefined);
  const get = (path: string, headers: Record<string, string> = bearer): Promise<Response> =>
    fetch(httpUrl(server, path), { headers });
  return { server, fleet, observatory, get };
}

describe('Observatory', () => {
  it('shows the same run as metrics and as status', async () => {
    const { observatory, get } = await observe();
    for (const event of [model, worker('local', 'ready')]) observatory.event(event);
    observatory.report(report({ local: 10 }));
    observatory.step(step(1));
    observatory.event(epoch(1, 0.75));
    observatory.checkpoint('saved', 250);
    observatory.event(done);
    const status = runStatus.parse(await (await get('/api/status')).json());
    expect(status).toMatchObject({ state: 'finished', runStep: 1, version: '1.2.3', members: [{ id: 'local' }] });
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const metrics = await response.text();
    for (const line of [
      'lockstep_run_state{state="finished"} 1',
      'lockstep_step 1',
      'lockstep_test_accuracy_ratio 0.75',
      'lockstep_step_seconds_count 1',
      'lockstep_worker_changes_total{state="ready"} 1',
      'lockstep_checkpoints_total{result="saved"} 1',
      'lockstep_checkpoint_seconds 0.25',
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
  });

  it('counts who was turned away', async () => {
    const { get } = await observe();
    expect((await get('/metrics', {})).status).toBe(401);
    expect(await (await get('/metrics')).text()).toContain('lockstep_refused_connections_total{reason="token"} 1\n');
  });

  it('shows everything only to those with the token, but whether it is ready', async () => {
    const { fleet, get } = await observe();
    for (const path of ['/metrics', '/api/status', '/events', '/api/pictures.png']) {
      expect((await get(path, {})).status).toBe(401);
    }
    expect((await get('/readyz', {})).status).toBe(503);
    fleet.isReady = true;
    expect((await get('/readyz', {})).status).toBe(200);
  });

  it('shows what the model says about the test pictures, beside the pictures', async () => {
    const { observatory, get } = await observe();
    observatory.evaluated(1, new Uint8Array(50));
    const { predictions } = runStatus.parse(await (await get('/api/status')).json());
    expect(predictions?.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(50);
    expect(predictions?.pictures).toHaveLength(40);
    const png = Buffer.from(await (await get('/api/pictures.png')).arrayBuffer());
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    // Width and height in the header: 40 pictures side by side.
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([40 * 28, 28]);
  });
});
