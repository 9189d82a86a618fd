/** Tabs of a real browser as workers of a real coordinator. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DoneEvent, type EpochEvent, runEvent } from '@lockstep/protocol';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { lockstep, offline, Running, smallDataset, temporaryFolder } from './lockstep.ts';
import { accessibilityProblems, chromiumPath, launch, PHONE } from './web/browser.ts';
import { isWithin, plain, tile } from './web/look.ts';

const NUM_TRAIN = 1200;
const SMALL_MODEL = {
  class_name: 'Sequential',
  config: {
    name: 'small',
    layers: [
      { class_name: 'Flatten', config: { name: 'flatten', batch_input_shape: [null, 28, 28, 1] } },
      { class_name: 'Dense', config: { name: 'dense', units: 16, activation: 'relu' } },
      { class_name: 'Dense', config: { name: 'classes', units: 10, activation: 'softmax' } },
    ],
  },
};
const TOKEN = 'correct-horse-battery';

describe.skipIf(!chromiumPath)(`a browser tab as a worker${chromiumPath ? '' : ' (no Chromium on the PATH)'}`, () => {
  let browser: Browser;
  let environment: NodeJS.ProcessEnv;
  const problems: string[] = [];

  beforeAll(async () => {
    environment = { ...offline(), LOCKSTEP_DATA_DIR: smallDataset(NUM_TRAIN, 100) };
    browser = await launch();
  });

  afterEach(() => expect(problems.splice(0)).toEqual([]));

  afterAll(() => browser?.close());

  const common = ['train', '--json', '--shards', '4', '--seed', '3', '--port', '0'];
  /** Steps are many and short: the recipe's optimizer would take longer than the gradients of so few pictures. */
  const mlp = ['--model', 'mlp', '--optimizer', 'adam', '--batch-size', '40', '--epochs', '2'];

  async function coordinator(args: readonly string[], cwd = temporaryFolder()) {
    const run = new Running([...common, ...args], environment, cwd);
    onTestFinished(() => run.kill('SIGKILL'));
    const { url } = await run.event(({ event }) => event === 'listening');
    return { run, url: String(url).replace('ws', 'http') };
  }

  interface TabOptions {
    /** Of its address. */
    readonly hash?: string;
    /** That it thinks it has. */
    readonly numCores?: number;
    /** Cannot be loaded. */
    readonly missing?: string;
  }

  /** Opens the join page. */
  async function openTab(url: string, { hash = '', numCores = 2, missing }: TabOptions = {}): Promise<Page> {
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    if (missing !== undefined) await context.route(missing, (route) => route.abort());
    await context.addInitScript((numCores) => {
      Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => numCores });
    }, numCores);
    const page = await context.newPage();
    page.on('pageerror', (error) => problems.push(`page error: ${error.message}`));
    page.on('console', (message) => {
      // A coordinator that is away, or wants a token, is no fault of the page.
      const text = message.text();
      if (
        missing !== undefined ||
        message.type() !== 'error' ||
        /Failed to load resource|WebSocket connection to/.test(text)
      )
        return;
      problems.push(`console: ${text}`);
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(url)) problems.push(`request to ${request.url()}`);
    });
    await page.goto(`${url}/join${hash}`);
    return page;
  }

  const says = (page: Page, text: string): Promise<void> =>
    page.locator('.state-line', { hasText: text }).waitFor({ timeout: 50_000 });
  const samplesOf = async (page: Page): Promise<number> => Number((await tile(page, 'samples')).replaceAll(',', ''));
  const epochsOf = (events: readonly { event: string }[]): EpochEvent[] =>
    events.filter(({ event }) => event === 'epoch').map((event) => runEvent.parse(event) as EpochEvent);

  /** Losses and accuracies as of a run without tabs; other engines differ in the last bits. */
  async function expectSameAsLocal(events: readonly { event: string }[], args: readonly string[]): Promise<void> {
    const local = await lockstep([...common, ...args, '--workers', '1'], environment);
    const [found, expected] = [epochsOf(events), epochsOf(local.events)];
    expect(found).toHaveLength(expected.length);
    found.forEach((epoch, i) => {
      expect(epoch.samples).toBe(NUM_TRAIN);
      expect(Math.abs(epoch.trainLoss / expected[i]!.trainLoss - 1)).toBeLessThan(1e-3);
      expect(Math.abs(epoch.testLoss / expected[i]!.testLoss - 1)).toBeLessThan(5e-3);
    });
  }

  it('trains beside a local worker and another tab, which is closed in the middle; a third one takes its place', async () => {
    const numEpochs = 12;
    const long = [...mlp, '--epochs', String(numEpochs)];
    const { run, url } = await coordinator([...long, '--workers', '1', '--min-workers', '3', '--log-every', '1']);
    const [stays, leaves] = [await openTab(url), await openTab(url)];
    // At once: without it, the run waits for the third.
    await run.event(({ event, runStep }) => event === 'step' && runStep >= 5);
    await leaves.close();
    const gone = await run.event(({ event, state }) => event === 'worker' && state === 'left');
    expect(gone.name).toMatch(/Chrom/);
    const third = await openTab(url);
    const { code, events } = await run.end;
    expect(code).toBe(0);
    const done = events.find(({ event }) => event === 'done') as DoneEvent;
    expect(done.samples).toBe(numEpochs * NUM_TRAIN);
    const steps = events.filter(({ event }) => event === 'step');
    expect(steps.map(({ runStep }) => runStep)).toEqual(steps.map((_, i) => i + 1));
    expect(steps.reduce((sum, { samples }) => sum + samples, 0)).toBe(numEpochs * NUM_TRAIN);
    await says(third, 'Finished');
    await says(stays, 'Finished');
    expect(await samplesOf(stays)).toBeGreaterThan(0);
    expect((await samplesOf(stays)) + (await samplesOf(third))).toBeLessThanOrEqual(numEpochs * NUM_TRAIN);
    await expectSameAsLocal(events, long);
  });

  it('trains alone, with several engines, and shows what it does', async () => {
    const cnn = ['--model', 'cnn', '--batch-size', '64', '--epochs', '1'];
    const { run, url } = await coordinator([...cnn, '--workers', '0']);
    const page = await openTab(url, { numCores: 3 });
    const ready = await run.event(({ event, state }) => event === 'worker' && state === 'ready');
    expect(ready).toMatchObject({ engine: 'onnx', device: 'wasm', threads: 2 });
    await says(page, 'Training');
    await page.locator('.facts', { hasText: 'cnn' }).waitFor();
    expect(plain((await page.locator('.facts').textContent())!)).toContain('WebAssembly, 2 engines');
    await page.waitForFunction(() => Number(document.querySelector('[data-tile=rate] dd')?.textContent) > 0);
    const { code, events } = await run.end;
    expect(code).toBe(0);
    await says(page, 'Finished');
    expect(await samplesOf(page)).toBe(NUM_TRAIN);
    await expectSameAsLocal(events, cnn);
  });

  it('leaves when it is told to, comes back, and finds the run again after the coordinator was killed', async () => {
    const folder = temporaryFolder();
    const args = [...mlp, '--epochs', '40', '--workers', '1', '--min-workers', '2'];
    const first = await coordinator(args, folder);
    const page = await openTab(first.url);
    await says(page, 'Training');
    await page.getByRole('button', { name: 'Stop' }).click();
    await says(page, 'Stopped');
    const left = await first.run.event(({ event, state }) => event === 'worker' && state === 'left');
    expect(left.reason).toContain('stopped');
    await page.getByRole('button', { name: 'Start' }).click();
    await says(page, 'Training');
    first.run.kill('SIGKILL');
    await first.run.end;
    await says(page, 'Not connected');
    const { runDir } = first.run.events.find(({ event }) => event === 'model');
    const second = new Running(
      [
        'train',
        '--json',
        '--resume',
        runDir,
        '--port',
        new URL(first.url).port,
        '--workers',
        '1',
        '--min-workers',
        '2',
      ],
      environment,
      folder,
    );
    onTestFinished(() => second.kill('SIGKILL'));
    const back = await second.event(
      ({ event, id, state }) => event === 'worker' && id !== 'local' && state === 'ready',
    );
    expect(back.device).toBe('wasm');
    await says(page, 'Training');
  });

  it('asks for the token, says that one is wrong, and takes it from the fragment of a link', async () => {
    const { run, url } = await coordinator([...mlp, '--workers', '1', '--min-workers', '4', '--token', TOKEN]);
    const page = await openTab(url);
    await says(page, 'Token needed');
    await page.getByLabel('Token').fill('something-else');
    await page.getByRole('button', { name: 'Join' }).click();
    await says(page, 'The token is wrong.');
    expect(await accessibilityProblems(page)).toEqual([]);
    await page.getByLabel('Token').fill(TOKEN);
    await page.getByRole('button', { name: 'Join' }).click();
    await says(page, 'Joined');
    const linked = await openTab(url, { hash: `#token=${TOKEN}` });
    await says(linked, 'Joined');
    expect(linked.url()).toBe(`${url}/join`);
    await linked.reload();
    await says(linked, 'Joined');
    expect(run.text + JSON.stringify(run.events)).not.toContain(TOKEN);
  });

  it('says what it cannot do, and the run goes on', async () => {
    const { run, url } = await coordinator([...mlp, '--epochs', '500', '--workers', '1']);
    const page = await openTab(url, { missing: '**/*.wasm' });
    await says(page, 'WebAssembly does not work in this browser');
    expect(await page.locator('.state-word').innerText()).toBe('Failed');
    expect(await page.getByRole('button', { name: 'Start' }).isEnabled()).toBe(true);
    await run.event(({ event }) => event === 'epoch', run.events.length);
  });

  it('trains on WebGPU where somebody asks for it, even in software', async ({ skip }) => {
    const own = await launch(['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']);
    onTestFinished(() => own.close());
    const model = join(temporaryFolder(), 'model.json');
    writeFileSync(model, JSON.stringify(SMALL_MODEL));
    const small = ['--model', model, '--batch-size', '400', '--epochs', '1'];
    const { run, url } = await coordinator([...small, '--workers', '0']);
    const page = await (await own.newContext()).newPage();
    await page.goto(`${url}/join`);
    await page.getByLabel('Compute with').selectOption('webgpu');
    const ready = run.event(
      ({ event, state, device }) => event === 'worker' && state === 'ready' && /webgpu/.test(device),
    );
    const failed = page.locator('.state.is-failed').waitFor({ timeout: 50_000 });
    if ((await Promise.race([ready, failed])) === undefined) skip('this Chromium has no WebGPU in software');
    const { code, events } = await run.end;
    expect(code).toBe(0);
    await says(page, 'Finished');
    await expectSameAsLocal(events, small);
  });

  it('is usable and fits in every view, with a QR code on the live page', async () => {
    const host = ['--host', '0.0.0.0', '--token', TOKEN];
    const { url } = await coordinator([...mlp, '--workers', '1', '--min-workers', '9', ...host]);
    const local = url.replace(/\/\/[^:]+:/, '//127.0.0.1:');
    const page = await openTab(local, { hash: `#token=${TOKEN}` });
    await says(page, 'Joined');
    const live = await browser.newContext({ httpCredentials: { username: '', password: TOKEN } });
    onTestFinished(() => live.close());
    const board = await live.newPage();
    await board.goto(local);
    await board.getByText('QR code').click();
    await board.getByRole('img', { name: 'QR code' }).waitFor();
    expect(await board.locator('#join').innerText()).not.toContain(TOKEN);
    for (const viewport of [{ width: 1280, height: 900 }, PHONE.viewport!]) {
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const each of [page, board]) {
          await each.setViewportSize(viewport);
          await each.emulateMedia({ colorScheme });
          await expect.poll(() => isWithin(each)).toBe(true);
          expect(await accessibilityProblems(each)).toEqual([]);
        }
      }
    }
  });
});
