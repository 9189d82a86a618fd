/** What is printed: the same Markdown on the screen and in a file. */

/** @param rows lists of cells; the first row is the head; all columns but the first are numbers */
function table([head, ...rows]) {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((row) => row[i].length)));
  const cell = (text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]));
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head.map(cell)), line(rule), ...rows.map((row) => line(row.map(cell)))].join('\n');
}

function ratioRow({ of, to, median, low, high, confidence, wanted }) {
  const target = wanted === undefined ? '' : `${wanted}: ${median >= wanted ? 'reached' : 'missed'}`;
  const interval =
    low === undefined ? '' : `${low.toFixed(2)} to ${high.toFixed(2)} (${(confidence * 100).toFixed(0)} %)`;
  return [`${of} / ${to}`, median.toFixed(2), interval, target];
}

/**
 * @param comparison title, table, ratios (of, to, median, low, high, confidence, wanted) and perhaps a
 *   remark; what was timed once has no interval
 */
export function renderComparison({ title, table: rows, ratios, remark }) {
  const parts = [`### ${title}`, table(rows)];
  if (ratios.length > 0) parts.push(table([['', 'ratio', 'interval', 'wanted'], ...ratios.map(ratioRow)]));
  if (remark) parts.push(remark);
  return `${parts.join('\n\n')}\n`;
}

/** A page of results. @param facts machine, date, versions and command, by name */
export function renderPage(facts, notes, comparisons) {
  const list = (lines) => lines.map((line) => `- ${line}`).join('\n');
  const method =
    'Rates are medians over rounds of alternating blocks. A ratio is the median of the ratios round by round. Its interval is\n' +
    'made of order statistics, with the probability that it covers the true median.';
  return [
    '# Lockstep and its peers',
    list(Object.entries(facts).map(([name, value]) => `${name}: ${value}`)),
    method,
    ...(notes.length > 0 ? [list(notes)] : []),
    ...comparisons.map(renderComparison),
  ].join('\n\n');
}
