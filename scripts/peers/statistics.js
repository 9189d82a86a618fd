/** What many rounds say: medians, and how sure they are. */

const ascending = (list) => [...list].sort((a, b) => a - b);

export function median(list) {
  const sorted = ascending(list);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}

/**
 * A confidence interval for the median that assumes nothing about the distribution: the k-th least and the k-th greatest
 * value, with the largest k that covers it with at least 95 %. Fewer than six values cannot; then it is their range.
 * @returns {{ low: number, high: number, coverage: number }} with the probability that it covers the median
 */
export function medianInterval(list) {
  const sorted = ascending(list);
  const n = sorted.length;
  /** That at most k of n values fall on one side of the median. */
  const tail = (k) => {
    let term = 0.5 ** n;
    let sum = 0;
    for (let i = 0; i <= k; i++) {
      sum += term;
      term *= (n - i) / (i + 1);
    }
    return sum;
  };
  let k = 0;
  while (2 * (k + 1) < n && 2 * tail(k + 1) <= 0.05) k++;
  return { low: sorted[k], high: sorted[n - 1 - k], coverage: Math.max(0, 1 - 2 * tail(k)) };
}
