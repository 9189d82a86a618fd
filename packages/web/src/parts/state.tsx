/** How the run is: its state in a word, how far it is, and what it is. */
import type { RunStatus } from '@lockstep/protocol';
import { duration, integer, moment, percent } from '../words/format.ts';
import { isOver, position, stateWord } from '../words/sentences.ts';
import { FactList } from './facts.tsx';
import { StateIcon, Warning } from './icons.tsx';

const MAX_TICKS = 60;

function remaining(status: RunStatus): string | undefined {
  const { etaSeconds, state } = status;
  if (isOver(status) || state === 'waiting' || etaSeconds === undefined) return undefined;
  return `about ${duration(etaSeconds)} left`;
}

function Progress({ status }: { readonly status: RunStatus }) {
  const { fraction, model } = status;
  // Rounded down: it is done when it is done.
  const done = `${Math.floor(fraction * 100)}\u00a0%`;
  const left = remaining(status);
  const ticks = model && model.epochs <= MAX_TICKS ? model.epochs : 1;
  return (
    <div class="progress">
      <div class="progress-text">
        <span class="progress-where">{position(status) ?? 'No step yet'}</span>
        <span class="progress-left">{left}</span>
        <strong class="progress-done">{done}</strong>
      </div>
      <div class="progress-bar" style={{ '--ticks': ticks }}>
        <progress max={1} value={fraction} aria-label="Progress of the run">
          {done}
        </progress>
      </div>
    </div>
  );
}

function Facts({ status }: { readonly status: RunStatus }) {
  const { model, dataset, startedAt } = status;
  const facts: [string, string][] = [];
  if (model) {
    facts.push(['Model', `${model.name}, ${integer(model.numParameters)} parameters`]);
    facts.push(['Optimizer', `${model.optimizer}, learning rate ${model.learningRate} (${model.schedule})`]);
    facts.push(['Step', `${integer(model.batchSize)} samples in ${model.shards} shards`]);
    facts.push(['Seed', String(model.seed)]);
  }
  if (dataset) {
    const { name, trainSamples, testSamples } = dataset;
    facts.push(['Data', `${name}, ${integer(trainSamples)} to train, ${integer(testSamples)} to test`]);
  }
  facts.push(['Started', moment(startedAt)]);
  return <FactList facts={facts} />;
}

export function RunState({ status }: { readonly status: RunStatus }) {
  const { state, reason, dataset, result } = status;
  const outcome = state === 'finished' && result ? `Test accuracy ${percent(result.testAccuracy)}` : undefined;
  return (
    <section class={`card state is-${state}`} aria-labelledby="state-heading">
      <h2 id="state-heading" class="hidden">
        State of the run
      </h2>
      {/* The only part that screen readers announce when it changes: numbers change all the time. */}
      <div role="status" class="state-line">
        <span class="state-word">
          <StateIcon state={state} />
          {stateWord(state)}
        </span>
        <span class="state-reason">{reason ?? outcome}</span>
      </div>
      {state === 'waiting' && (
        <p class="quiet">
          The next step begins when enough workers are ready. <a href="#join">How to join</a>
        </p>
      )}
      <Progress status={status} />
      {dataset?.notice && (
        <p class="notice is-warning">
          <Warning />
          <span>{dataset.notice}</span>
        </p>
      )}
      <Facts status={status} />
    </section>
  );
}
