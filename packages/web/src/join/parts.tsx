/** The join page: what is shown where. */
import { useEffect, useState } from 'preact/hooks';
import { FactList } from '../parts/facts.tsx';
import { Header } from '../parts/header.tsx';
import { Play, Stop, Warning } from '../parts/icons.tsx';
import { integer, NONE, percent, plural, rate } from '../words/format.ts';
import { knowsBattery } from './battery.ts';
import { canKeepScreenOn } from './screen.ts';
import { deviceWords, phaseReason, phaseWord, sentence } from './sentences.ts';
import { Settings } from './settings.tsx';
import type { Phase, Tab } from './tab.ts';
import { TokenForm } from './token-form.tsx';
import type { TabView } from './view.ts';

/** As the state of a run is coloured. */
const COLOURS: Record<Phase['name'], string> = {
  working: 'is-training',
  stopping: 'is-stopped',
  stopped: 'is-stopped',
  paused: 'is-waiting',
  token: 'is-waiting',
  finished: 'is-finished',
  failed: 'is-failed',
};

function State({ tab }: { readonly tab: Tab }) {
  const { phase, view } = tab;
  const isLost = phase.name === 'working' && view?.link.state === 'waiting';
  const canStop = phase.name === 'working' || phase.name === 'paused';
  return (
    <section class={`card state ${isLost ? 'is-waiting' : COLOURS[phase.name]}`} aria-labelledby="state-heading">
      <h2 id="state-heading" class="hidden">
        State of this tab
      </h2>
      <div role="status" class="state-line">
        <span class="state-word">{phaseWord(phase, view)}</span>
        <span class="state-reason">{phaseReason(phase, view)}</span>
      </div>
      {phase.name === 'token' ? (
        <TokenForm onToken={(token) => tab.startWith(token)} />
      ) : (
        <button
          type="button"
          class="button is-large"
          disabled={phase.name === 'stopping'}
          onClick={() => (canStop ? tab.stop() : tab.start())}
        >
          {canStop ? <Stop /> : <Play />}
          <span>{canStop ? 'Stop' : 'Start'}</span>
        </button>
      )}
      {view?.notice && (
        <p class="notice is-warning">
          <Warning />
          <span>{sentence(view.notice)}</span>
        </p>
      )}
    </section>
  );
}

interface TileProps {
  readonly id: string;
  readonly name: string;
  readonly value: string;
  readonly note: string;
}

const Tile = ({ id, name, value, note }: TileProps) => (
  <div class="card tile" data-tile={id}>
    <dt>{name}</dt>
    <dd class="tile-value">{value}</dd>
    <dd class="tile-note">{note}</dd>
  </div>
);

function Work({ view, isWorking }: { readonly view: TabView | undefined; readonly isWorking: boolean }) {
  const speed = isWorking ? (view?.samplesPerSecond ?? 0) : 0;
  const { model, totalSteps = 0, testAccuracy } = view?.run ?? {};
  const computing = view?.whileComputing ?? 0;
  const steps = totalSteps > 0 ? `step ${integer(view?.runStep ?? 0)} of ${integer(totalSteps)}` : 'of the run';
  return (
    <section aria-labelledby="numbers-heading">
      <h2 id="numbers-heading" class="hidden">
        What this tab does
      </h2>
      <dl class="tiles">
        <Tile
          id="rate"
          name="Samples per second"
          value={speed > 0 ? rate(speed) : NONE}
          note={speed > 0 && computing > 0 ? `${rate(computing)} while it computes` : 'of this tab'}
        />
        <Tile
          id="samples"
          name="Samples done"
          value={integer(view?.samples ?? 0)}
          note={`in ${plural(view?.steps ?? 0, 'step')} of the run`}
        />
        <Tile
          id="epoch"
          name="Epoch"
          value={view && view.epoch > 0 ? `${view.epoch}${model ? ` of ${model.epochs}` : ''}` : NONE}
          note={steps}
        />
        <Tile
          id="accuracy"
          name="Accuracy of the model"
          value={testAccuracy === undefined ? NONE : percent(testAccuracy)}
          note={testAccuracy === undefined ? 'comes after the first epoch' : 'the latest there is'}
        />
      </dl>
    </section>
  );
}

function Facts({ view }: { readonly view: TabView | undefined }) {
  if (!view) return null;
  const { run, device, reason, member, numEngines } = view;
  const facts: [string, string][] = [];
  if (run?.model) {
    const { name, numParameters } = run.model;
    facts.push(['Model', `${name}, ${integer(numParameters)} parameters`]);
  }
  if (run?.dataset) facts.push(['Data', `${run.dataset.name}, ${integer(run.dataset.trainSamples)} samples`]);
  if (device !== undefined) {
    facts.push(['Computes with', `${deviceWords(device)}, ${plural(numEngines ?? 1, 'engine')}`]);
    if (reason !== undefined && device === 'wasm') facts.push(['Why no GPU', sentence(reason)]);
  }
  if (member !== undefined) facts.push(['Known as', member]);
  if (facts.length === 0) return null;
  return <FactList facts={facts} />;
}

/** What to know about a tab that trains. */
function Hints() {
  return (
    <section class="card" aria-labelledby="hints-heading">
      <h2 id="hints-heading">Good to know</h2>
      <ul class="hints quiet">
        <li>Close the tab whenever you like: others do its part of the step, and nothing is lost or counted twice.</li>
        <li>It goes on in the background; a phone that is locked stops it.</li>
        <li>
          {canKeepScreenOn
            ? 'The screen stays on while it trains.'
            : 'The screen may go dark: browsers keep it on over https and on localhost only.'}
        </li>
        {!knowsBattery && <li>This browser does not tell whether the device runs on its battery.</li>}
      </ul>
    </section>
  );
}

export function JoinPage({ tab, subscribe }: { readonly tab: Tab; readonly subscribe: (redraw: () => void) => void }) {
  const [, redraw] = useState(0);
  useEffect(() => subscribe(() => redraw((times) => times + 1)), [subscribe]);
  const { phase, view } = tab;
  const word = phaseWord(phase, view);
  useEffect(() => {
    document.title = `${word} · Join · Lockstep`;
  }, [word]);
  return (
    <>
      <Header model={view?.run?.model?.name} dataset={view?.run?.dataset?.name} />
      <main>
        <div class="run">
          <State tab={tab} />
          <Work view={view} isWorking={phase.name === 'working'} />
          <section class="card" aria-labelledby="settings-heading">
            <h2 id="settings-heading">This device</h2>
            <Settings tab={tab} />
            <Facts view={view} />
          </section>
          <Hints />
        </div>
      </main>
      <footer class="page-footer">
        <p>
          Lockstep{view?.run && ` ${view.run.version}`}: this tab is a worker of the run. <a href="./">The live page</a>
        </p>
      </footer>
    </>
  );
}
