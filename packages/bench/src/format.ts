/** Numbers for people. */

/** 12345.6 -> 12,346; small ones with three digits. */
export function rateText(rate: number): string {
  return rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toPrecision(3);
}

/** A factor, such as a speed-up: two digits behind the point. */
export const factorText = (value: number): string => value.toFixed(2);

export const percentText = (fraction: number): string => `${(fraction * 100).toFixed(1)} %`;

export function msText(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(3);
}

/** Bytes per second in GB/s. */
export const gigabytesText = (bytesPerSecond: number): string => `${(bytesPerSecond / 1e9).toFixed(2)} GB/s`;

export const megabytesText = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** An interval with its middle: `1.50 (1.42 to 1.61)`. */
export const intervalText = (
  { median, low, high }: { readonly median: number; readonly low: number; readonly high: number },
  text: (value: number) => string,
): string => `${text(median)} (${text(low)} to ${text(high)})`;

export const secondsText = (seconds: number): string => `${seconds.toFixed(1)} s`;
