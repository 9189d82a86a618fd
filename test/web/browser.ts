/** A real browser that looks at a made-up run, and notes whatever a page must not do. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { RunStatus } from '@lockstep/protocol';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { ROOT } from '../lockstep.ts';
import { FakeRun } from './fake-run.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** Undefined where there is none. */
export const chromiumPath: string | undefined = (process.env.PATH ?? '')
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find((path) => existsSync(path));

export const launch = (args: readonly string[] = []): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath!, args: ['--no-sandbox', ...args] });

export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

export interface Visit {
  readonly page: Page;
  readonly run: FakeRun;
  /** Errors of the page, violations of its policy, and requests to others. */
  readonly problems: string[];
}

/** Opens the page of a run. */
export async function visit(browser: Browser, status: RunStatus, options: BrowserContextOptions = {}): Promise<Visit> {
  const run = await new FakeRun(join(ROOT, 'packages/web/dist'), status).start();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`page error: ${error.message}`));
  page.on('console', (message) => {
    // A coordinator that is away is no fault of the page.
    if (message.type() !== 'error' || message.text().startsWith('Failed to load resource: net::')) return;
    problems.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(run.url)) problems.push(`request to ${request.url()}`);
  });
  await page.goto(run.url);
  await page.locator('[data-tile]').first().waitFor();
  return { page, run, problems };
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly target: unknown; readonly failureSummary?: string }[];
}

/** What axe finds to be hard to use, one line each. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Transitions would let it judge colours in between.
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.evaluate(axe.source);
  const violations = (await page.evaluate(
    'axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then((r) => r.violations)',
  )) as Violation[];
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`),
  );
}
