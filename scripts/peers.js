/**
 * Lockstep beside what one would take instead: PyTorch, TensorFlow, Keras, Ray Train, tf.js. Blocks of work alternate in
 * rotating order, so that drift of the machine cancels; what counts are medians of the ratios round by round. Peers that
 * are not installed are left out. See peers/README.md.
 *
 *   npm run build && sh scripts/peers/install.sh && node scripts/peers.js [--only engine,training,tutorial]
 *     [--models mlp,cnn,resnet] [--rounds 9] [--data-dir DIR] [--python PYTHON] [--out results.md]
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compareEngines } from './peers/engine.js';
import { findInstalled } from './peers/installed.js';
import { renderComparison, renderPage } from './peers/report.js';
import { compareTraining } from './peers/training.js';
import { compareTutorial } from './peers/tutorial.js';

const sections = { engine: compareEngines, training: compareTraining, tutorial: compareTutorial };

const { values } = parseArgs({
  options: {
    /** Which comparisons. */
    only: { type: 'string', default: Object.keys(sections).join() },
    models: { type: 'string', default: 'mlp,cnn,resnet' },
    /** Blocks per subject; six and more have a 95 % interval. */
    rounds: { type: 'string', default: '9' },
    /** How often all subjects are started anew within these rounds. */
    starts: { type: 'string', default: '3' },
    /** Of a block of the engine. */
    seconds: { type: 'string', default: '1' },
    /** The engine's micro-batch. */
    batch: { type: 'string', default: '64' },
    /** Of the tutorial, from start to end. */
    runs: { type: 'string', default: '3' },
    'data-dir': { type: 'string', default: process.env.LOCKSTEP_DATA_DIR },
    /** Of the environment that install.sh makes, or another. */
    python: {
      type: 'string',
      default: process.env.LOCKSTEP_PEERS_PYTHON ?? fileURLToPath(new URL('peers/.venv/bin/python', import.meta.url)),
    },
    /** Where the page goes; the figures go beside it as JSON. */
    out: { type: 'string' },
  },
});

const isDataDir = (folder) =>
  ['', '.gz'].some((ending) => existsSync(join(folder, `train-images-idx3-ubyte${ending}`)));

const comparisons = [];
const notes = [];
const note = (text) => {
  notes.push(text);
  console.log(`${text}\n`);
};
const report = (comparison) => {
  if (!comparison) return;
  comparisons.push(comparison);
  console.log(renderComparison(comparison));
};

const { versions, missing } = findInstalled(values.python);
for (const line of missing) note(line);
if (missing.length > 0) {
  console.log(
    `Looked for with ${values.python}. To install them: sh scripts/peers/install.sh; or name another --python.\n`,
  );
}

const settings = {
  models: values.models.split(','),
  rounds: Number(values.rounds),
  starts: Number(values.starts),
  seconds: Number(values.seconds),
  batch: Number(values.batch),
  runs: Number(values.runs),
  dataDir: values['data-dir'] && isDataDir(values['data-dir']) ? values['data-dir'] : undefined,
  python: values.python,
  versions,
  report,
  note,
};

/** Writes what there is so far. */
function write() {
  const { models, rounds, starts, seconds, batch, runs } = settings;
  const cores = cpus();
  const facts = {
    machine: `${cores[0].model.trim()}, ${cores.length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`,
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    versions: Object.entries({ node: process.versions.node, ...versions })
      .map(([name, version]) => `${name} ${version ?? '(missing)'}`)
      .join(', '),
    command: `node scripts/peers.js --only ${values.only} --models ${models} --rounds ${rounds} --starts ${starts} --seconds ${seconds} --batch ${batch} --runs ${runs}`,
  };
  writeFileSync(values.out, renderPage(facts, notes, comparisons));
  writeFileSync(
    values.out.replace(/(\.md)?$/, '.json'),
    `${JSON.stringify({ ...facts, versions: { node: process.versions.node, ...versions }, notes, comparisons }, null, 2)}\n`,
  );
}

if (values.out) mkdirSync(dirname(values.out), { recursive: true });
for (const name of values.only.split(',')) {
  if (!sections[name]) throw new Error(`--only takes ${Object.keys(sections).join(', ')}, not ${name}`);
  await sections[name](settings);
  if (values.out) write();
}
