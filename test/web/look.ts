/** What a page shows, read as a person would. */
import type { Page } from 'playwright-core';

export const plain = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
export const texts = async (page: Page, selector: string): Promise<string[]> =>
  (await page.locator(selector).allTextContents()).map(plain);
/** A big number. */
export const tile = (page: Page, id: string): Promise<string> =>
  page.locator(`[data-tile=${id}] .tile-value`).innerText();
/** Of each plot. */
export const numPoints = (page: Page): Promise<number[]> =>
  page.locator('.plot').evaluateAll((plots) => plots.map((plot) => Number((plot as HTMLElement).dataset.points)));
/** What each plot looks like. */
export const drawings = (page: Page): Promise<string[]> =>
  page.locator('.plot canvas').evaluateAll((all) => all.map((canvas) => (canvas as HTMLCanvasElement).toDataURL()));
/** Whether the page is no wider than the screen. */
export const isWithin = (page: Page): Promise<boolean> =>
  page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);
