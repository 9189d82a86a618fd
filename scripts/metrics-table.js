/**
 * Writes the table of all metrics, deploy/METRICS.md, from their definitions.
 *
 *   npm run build && node scripts/metrics-table.js           # prints it
 *   npm run build && node scripts/metrics-table.js --write
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { metricDefinitions } from '@lockstep/coordinator';

const FILE = fileURLToPath(new URL('../deploy/METRICS.md', import.meta.url));
const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });

const code = (text) => `\`${text}\``;

function row({ name, type, labels, help }) {
  return `| ${[code(name), type, Object.keys(labels).map(code).join(', '), help].join(' | ')} |`;
}

/** One line per label whose values are known. */
function valuesOf({ name, labels }) {
  return Object.entries(labels)
    .filter(([, known]) => known.length > 0)
    .map(([label, known]) => `- ${code(label)} of ${code(name)}: ${known.map(code).join(', ')}`);
}

const definitions = Object.values(metricDefinitions);
const text = `# Metrics

What a coordinator answers under \`/metrics\`, for Prometheus. This page is made by \`node scripts/metrics-table.js --write\`
from \`packages/coordinator/src/observe/metric-definitions.ts\`.

| name | type | labels | meaning |
| --- | --- | --- | --- |
${definitions.map(row).join('\n')}

Beside them are those of the process as [prom-client](https://github.com/siimon/prom-client) names them, \`process_…\` and
\`nodejs_…\`: processor time, memory, event loop lag, garbage collection.

What is not known yet is not there: \`${metricDefinitions.testAccuracy.name}\` appears with the first epoch. Where the
result is the mean over several views of each picture (\`--test-flip\`), epochs before the last count the pictures as they are, so that
the curve rises a little at its end. Series of a worker
disappear when it leaves; a worker that comes back has another number. Counters begin at 0 with each start of the coordinator,
and with every label from the beginning, so that a first failure counts as an increase.

## Labels

${definitions.flatMap(valuesOf).join('\n')}

\`worker\` is \`local\` or \`worker-1\`, \`worker-2\`, … in the order in which they connected; \`lockstep_worker_info\` says who that is.
`;

if (values.write) writeFileSync(FILE, text);
else process.stdout.write(text);
