/** How long to wait before the next attempt: "full jitter", so that many workers of one coordinator do not come back at once. */

/**
 * @param failures attempts that failed in a row, from 1
 * @param random in [0, 1)
 * Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015
 */
export const pauseMs = (failures: number, firstMs: number, longestMs: number, random: number): number =>
  random * Math.min(longestMs, firstMs * 2 ** (failures - 1));
