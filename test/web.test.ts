/** The live page in a real browser, before a coordinator that is made up. */
import { type RunStatus, runStatus } from '@lockstep/protocol';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, chromiumPath, launch, PHONE, type Visit, visit } from './web/browser.ts';
import { epochAt, member, members, statusAt, stepAt } from './web/fake-status.ts';
import { drawings, isWithin, numPoints, plain, texts, tile } from './web/look.ts';

const STEPS_PER_EPOCH = 118;
const LONG = `${'a-very-long-name-'.repeat(6)}.example`;

describe.skipIf(!chromiumPath)(`the live page${chromiumPath ? '' : ' (no Chromium on the PATH)'}`, () => {
  let browser: Browser;
  const visits: Visit[] = [];

  const open = async (...[status, options]: [Parameters<typeof visit>[1], Parameters<typeof visit>[2]?]) => {
    const opened = await visit(browser, status, options);
    visits.push(opened);
    return opened;
  };

  beforeAll(async () => {
    browser = await launch();
  });

  afterEach(async () => {
    const all = visits.splice(0);
    for (const { page, run } of all) {
      await page.context().close();
      await run.stop();
    }
    expect(all.flatMap(({ problems }) => problems)).toEqual([]);
  });

  afterAll(() => browser?.close());

  describe('shows', () => {
    it('the numbers of the status', async () => {
      const status = runStatus.parse(statusAt(800));
      const { page } = await open(status);
      expect(await page.title()).toBe('Training 67 % · mlp · Lockstep');
      expect(plain(await page.locator('.state-line').innerText())).toBe('Training');
      expect(await page.locator('.progress-where').textContent()).toBe('epoch 7 of 10, step 92 of 118');
      expect(plain(await page.locator('.progress-done').innerText())).toBe('67 %');
      const last = status.epochs.at(-1)!;
      expect(plain(await tile(page, 'accuracy'))).toBe(`${(100 * last.testAccuracy).toFixed(2)} %`);
      expect(await tile(page, 'rate')).toBe(Math.round(status.samplesPerSecond).toLocaleString('en'));
      expect(await tile(page, 'workers')).toBe('3');
      expect(Math.abs(Number(await tile(page, 'loss')) - stepAt(800).loss)).toBeLessThan(0.1);
      expect(await texts(page, '.workers tbody th')).toEqual([
        'this machinelocal',
        'gpu-boxremote, w1',
        'atticremote, w2',
      ]);
      expect(await texts(page, '.share-text')).toEqual(['2 of 8', '3 of 8', '3 of 8']);
      expect(await texts(page, '.phases dd')).toEqual([
        ...['0.42 ms', '10 %', '2.71 ms', '67 %'],
        ...['0.63 ms', '15 %', '0.31 ms', '8 %'],
      ]);
      expect(await texts(page, '.counts > div')).toEqual([
        ...['slow, so computed twice11', 'worker was lost2'],
        ...['answer came second3', 'other version of the protocol1'],
      ]);
      expect(await texts(page, '.confusion tbody td:not(.recall)')).toEqual(
        status.predictions!.confusion.flat().map(String),
      );
      const rows = await texts(page, '.epochs tbody tr');
      expect(rows).toHaveLength(6);
      expect(rows[0]).toContain(last.testLoss.toFixed(4));
      expect(await page.locator('.log li').count()).toBe(status.log.length);
      expect(await page.locator('.join code').first().innerText()).toBe(
        `npx lockstep join ${page.url().replace('http', 'ws').replace(/\/$/, '')}`,
      );
    });

    it('the result, whatever the epochs were measured by', async () => {
      const status = statusAt(1180);
      const epochs = status.epochs.map((epoch, i) => ({
        ...epoch,
        evaluatedOn: 'validation' as const,
        ...(i < 9 ? { plain: true as const } : {}),
      }));
      const { page, run } = await open({ ...status, epochs });
      const latest = `${(100 * epochs.at(-1)!.testAccuracy).toFixed(2)} %`;
      expect(plain(await tile(page, 'accuracy'))).toBe(latest);
      expect(await page.locator('[data-tile=accuracy] dt').innerText()).toBe('Validation accuracy');
      expect(await page.locator('.epochs-card p').innerText()).toMatch(/^The last epoch is measured by the mean/);
      const done = { testLoss: 0.2, testAccuracy: 0.9123, weightsSha256: '', runDir: '', samples: 1, seconds: 1 };
      run.send({ event: 'done', ...done });
      await page.getByText('Finished', { exact: true }).waitFor();
      expect(plain(await page.locator('.state-reason').innerText())).toBe('Test accuracy 91.23 %');
      expect(plain(await tile(page, 'accuracy'))).toBe('91.23 %');
      expect(await page.locator('[data-tile=accuracy] dt').innerText()).toBe('Test accuracy');
      expect(plain(await page.locator('[data-tile=accuracy] .tile-note').innerText())).toBe(
        `at the end; validation accuracy ${latest}`,
      );
    });

    it('pictures, and which of them are wrong', async () => {
      const status = statusAt(2 * STEPS_PER_EPOCH);
      const { page, run } = await open(status);
      const wrongOf = ({ predictions }: typeof status): number =>
        predictions!.pictures.filter(({ label, predicted }) => label !== predicted).length;
      await page.locator('.pictures').scrollIntoViewIfNeeded();
      expect(await page.locator('.picture').count()).toBe(40);
      expect(await page.locator('.picture.is-wrong').count()).toBe(wrongOf(status));
      expect(await page.locator('.picture', { hasText: 'wrong, named' }).count()).toBe(wrongOf(status));
      const sizes = await page.evaluate(async () => {
        const address = getComputedStyle(document.querySelector('.picture-pixels')!).backgroundImage.slice(5, -2);
        const image = new Image();
        image.src = address;
        await image.decode();
        return [image.naturalWidth, image.naturalHeight];
      });
      expect(sizes).toEqual([40 * 28, 28]);
      const later = statusAt(10 * STEPS_PER_EPOCH);
      run.become(later);
      await page.getByText('named otherwise than after epoch 2').waitFor();
      expect(await page.locator('.picture.is-wrong').count()).toBe(wrongOf(later));
    });

    const states: [string, Partial<RunStatus>][] = [
      ['Starting', { state: 'starting', model: undefined, dataset: undefined, members: [], log: [] }],
      ['Waiting 1 of 2 workers are ready', { state: 'waiting', reason: '1 of 2 workers are ready' }],
      ['Stopped Interrupted in epoch 1.', { state: 'stopped', reason: 'Interrupted in epoch 1.' }],
      ['Failed The loss became NaN.', { state: 'failed', reason: 'The loss became NaN.' }],
    ];
    it.each(states)('a run that has no step yet: %s', async (said, changes) => {
      const { page } = await open(statusAt(0, changes));
      expect(plain(await page.locator('.state-line').innerText())).toBe(said);
      expect(await page.locator('.plot.is-empty').count()).toBe(3);
      expect(await accessibilityProblems(page)).toEqual([]);
    });
  });

  describe('moves', () => {
    it('with each step and each epoch, before the next status', async () => {
      const { page, run } = await open(statusAt(800));
      expect(await numPoints(page)).toEqual([800, 800, 800]);
      const before = await drawings(page);
      run.send(...Array.from({ length: 26 }, (_, i) => stepAt(801 + i)), epochAt(7));
      await page.getByText('epoch 7 of 10, step 118 of 118').waitFor();
      expect(await numPoints(page)).toEqual([826, 826, 826]);
      const after = await drawings(page);
      for (const [i, drawing] of after.entries()) expect(drawing).not.toBe(before[i]);
      expect(plain(await tile(page, 'accuracy'))).toBe(`${(100 * epochAt(7).testAccuracy).toFixed(2)} %`);
      expect(await texts(page, 'figcaption')).toContainEqual(expect.stringContaining('after epoch 7.'));
    });

    it('at most four times a second, however much happens, and holds no more than it can draw', async () => {
      const { page, run } = await open(statusAt(0));
      await page.evaluate(() => {
        const counts = { draws: 0, since: performance.now() };
        new MutationObserver(() => counts.draws++).observe(document.querySelector('.progress-where')!, {
          characterData: true,
          subtree: true,
        });
        Object.assign(window, { counts });
      });
      for (let first = 1; first <= 1180; first += 20) {
        run.send(...Array.from({ length: 20 }, (_, i) => stepAt(first + i)));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await page.getByText('all 10 epochs done').waitFor();
      const { draws, ms } = await page.evaluate(() => {
        const { counts } = window as unknown as { counts: { draws: number; since: number } };
        return { draws: counts.draws, ms: performance.now() - counts.since };
      });
      expect(draws).toBeGreaterThan(1);
      expect(draws).toBeLessThanOrEqual(ms / 250 + 1);
      for (let step = 1181; step <= 5000; step++) run.send(stepAt(step));
      run.send({ event: 'waiting', ready: 0, needed: 1 });
      await page.getByText('0 of 1 workers are ready').waitFor();
      for (const points of await numPoints(page)) expect(points).toBeLessThanOrEqual(2000);
    });

    it('when workers come and go', async () => {
      const { page, run } = await open(statusAt(300));
      run.send({ ...member(2), event: 'worker', state: 'left', reason: 'it said so' });
      await page.getByRole('rowheader', { name: 'attic' }).waitFor({ state: 'detached' });
      expect(await tile(page, 'workers')).toBe('2');
      run.become(statusAt(301, { members: members(5) }));
      await page.getByRole('rowheader', { name: 'node-4' }).waitFor();
      expect(await tile(page, 'workers')).toBe('5');
    });

    it('without announcing each number', async () => {
      const { page, run } = await open(statusAt(300));
      const announced = (): Promise<string[]> => texts(page, '[role=status], [aria-live]');
      expect(await announced()).toEqual(['', 'Training']);
      run.send(stepAt(301));
      await page.getByText('step 65 of 118').waitFor();
      expect(await announced()).toEqual(['', 'Training']);
      run.become(statusAt(301, { state: 'waiting', reason: '1 of 2 workers are ready' }));
      await page.getByText('How to join').waitFor();
      expect(await announced()).toEqual(['', 'Waiting1 of 2 workers are ready']);
    });
  });

  describe('when the coordinator is gone', () => {
    it('says so, keeps what it knew, and begins anew with the next start', async () => {
      const { page, run } = await open(statusAt(800));
      const accuracy = await tile(page, 'accuracy');
      await run.stop();
      await page.getByText('Connection lost, trying again.').waitFor();
      expect(await page.locator('.run.is-stale').count()).toBe(1);
      expect(await tile(page, 'accuracy')).toBe(accuracy);
      expect(await numPoints(page)).toEqual([800, 800, 800]);
      expect(await accessibilityProblems(page)).toEqual([]);
      run.status = statusAt(236, { startId: 'second' });
      await run.start();
      await page.getByText('epoch 2 of 10, step 118 of 118').waitFor();
      expect(await page.locator('.run.is-stale').count()).toBe(0);
      expect(await page.locator('.connection').innerText()).toBe('');
      expect(await numPoints(page)).toEqual([236, 236, 236]);
      expect(plain(await tile(page, 'accuracy'))).toBe(`${(100 * epochAt(2).testAccuracy).toFixed(2)} %`);
      expect(await page.locator('.epochs tbody tr').count()).toBe(2);
      run.send(stepAt(237));
      await page.getByText('epoch 3 of 10, step 1 of 118').waitFor();
    });

    it('because the run is over, leaves the result as it is', async () => {
      const { page, run } = await open(statusAt(1180, { state: 'finished' }));
      await run.stop();
      await page.getByText('The coordinator has ended').waitFor();
      expect(await page.locator('.run.is-stale').count()).toBe(0);
      expect(await page.title()).toBe('Finished · mlp · Lockstep');
    });

    it('loads itself anew when another version comes back', async () => {
      const { page, run } = await open(statusAt(300));
      await page.evaluate(() => Object.assign(window, { isOld: true }));
      run.become(statusAt(10, { startId: 'second', version: '0.2.0' }));
      await page.waitForFunction(() => !('isOld' in window));
      await page.getByText('Lockstep 0.2.0').waitFor();
    });
  });

  describe('for everyone', () => {
    const views = [
      ['light', { colorScheme: 'light' }],
      ['dark', { colorScheme: 'dark' }],
      ['on a phone', { colorScheme: 'light', ...PHONE }],
      ['on a phone, dark', { colorScheme: 'dark', ...PHONE }],
    ] as const;
    const notice = 'These are not real pictures.';
    const crowd = statusAt(1180, {
      model: { ...statusAt(0).model!, shards: 64, name: LONG },
      dataset: { ...statusAt(0).dataset!, notice },
      members: [
        ...members(40, 64),
        member(41, { name: LONG, state: 'quarantined', reason: `${LONG} failed` }),
        member(42, { state: 'joining' }),
        member(43, { state: 'connected', engine: '', device: '' }),
      ],
      log: Array.from({ length: 200 }, (_, at) => ({ at, level: 'error' as const, text: LONG.repeat(3) })),
    });

    it.each(views)('is usable and fits: %s', async (_, options) => {
      const { page } = await open(crowd, options);
      await page.getByText(notice).waitFor();
      expect(await isWithin(page)).toBe(true);
      expect(await accessibilityProblems(page)).toEqual([]);
    });

    it('shows light and dark as the system does, until somebody chooses', async () => {
      const { page } = await open(statusAt(300), { colorScheme: 'dark' });
      const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const lines = await drawings(page);
      const dark = await ground();
      await page.getByRole('button', { name: 'Show the page in light colours' }).click();
      const light = await ground();
      expect(light).not.toBe(dark);
      expect(await drawings(page)).not.toEqual(lines);
      await page.reload();
      await page.locator('[data-tile]').first().waitFor();
      expect(await ground()).toBe(light);
      await page.getByRole('button', { name: 'Show the page in dark colours' }).click();
      expect(await ground()).toBe(dark);
      await page.emulateMedia({ colorScheme: 'light' });
      expect(await ground()).toBe(light);
    });

    it('reaches everything by keyboard', async () => {
      const { page } = await open(crowd, PHONE);
      const scrolled = (key: string, property: 'scrollLeft' | 'scrollTop') => async () => {
        await page.keyboard.press(key);
        return page.locator('.workers-box').evaluate((box, property) => box[property], property);
      };
      const reached: string[] = [];
      for (;;) {
        await page.keyboard.press('Tab');
        const name = await page.evaluate(() => {
          const { activeElement } = document;
          return activeElement?.getAttribute('aria-label') ?? activeElement?.textContent ?? '';
        });
        if (reached.includes(name) || reached.length > 20) break;
        reached.push(name);
        if (name !== 'Workers') continue;
        await expect.poll(scrolled('ArrowRight', 'scrollLeft'), { timeout: 20_000 }).toBeGreaterThan(0);
        await expect.poll(scrolled('ArrowDown', 'scrollTop'), { timeout: 20_000 }).toBeGreaterThan(0);
      }
      expect(reached.slice(0, 9)).toEqual([
        'Show the page in dark colours',
        'Epochs',
        'Workers',
        'Command to join',
        'Copy the command',
        'Open the join page',
        'QR code',
        'Confusion matrix',
        'Log, latest first',
      ]);
    });

    it('does not stop at what cannot scroll', async () => {
      const { page } = await open(statusAt(300));
      expect(await page.locator('.workers-box').getAttribute('tabindex')).toBe(null);
    });
  });
});
