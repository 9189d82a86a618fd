/**
 * Writes the dashboards of deploy/grafana/dashboards from their sources in deploy/grafana/source.
 *
 *   node scripts/dashboards.js [--out FOLDER]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { overview } from '../deploy/grafana/source/overview.js';
import { slow } from '../deploy/grafana/source/slow.js';
import { workers } from '../deploy/grafana/source/workers.js';

const LINE_WIDTH = 120;
const FOLDER = fileURLToPath(new URL('../deploy/grafana/dashboards', import.meta.url));
const { values } = parseArgs({ options: { out: { type: 'string', default: FOLDER } } });

const isList = (value) => Array.isArray(value);

/** On one line. */
function inline(value) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (isList(value)) return `[${value.map(inline).join(', ')}]`;
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${inline(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

/** JSON as people would write it: what fits on a line is on one line. @param before characters that stand before it */
function format(value, indent, before) {
  const text = inline(value);
  // A comma follows.
  if (value === null || typeof value !== 'object' || before + text.length + 1 <= LINE_WIDTH) return text;
  const inner = `${indent}  `;
  const lines = isList(value)
    ? value.map((member) => `${inner}${format(member, inner, inner.length)}`)
    : Object.entries(value).map(([key, member]) => {
        const start = `${inner}${JSON.stringify(key)}: `;
        return `${start}${format(member, inner, start.length)}`;
      });
  const [open, close] = isList(value) ? '[]' : '{}';
  return `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}

mkdirSync(values.out, { recursive: true });
for (const dashboard of [overview, workers, slow]) {
  const name = dashboard.uid.replace('lockstep-', '');
  writeFileSync(join(values.out, `${name}.json`), `${format(dashboard, '', 0)}\n`);
}
