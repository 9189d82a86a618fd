/** The page: what is shown where. */
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';
import type { Store } from '../data/store.ts';
import type { RunView } from '../data/view.ts';
import { isOver, stateWord } from '../words/sentences.ts';
import { Confusion } from './confusion.tsx';
import { ConnectionNotice } from './connection.tsx';
import { AccuracyPlot, LossPlot, ThroughputPlot } from './curves.tsx';
import { Header } from './header.tsx';
import { Epochs, Log } from './history.tsx';
import { Incidents, Phases } from './phases.tsx';
import { Pictures } from './pictures.tsx';
import { RunState } from './state.tsx';
import { Tiles } from './tiles.tsx';
import { Workers } from './workers.tsx';

function titleOf({ status }: RunView): string {
  if (!status) return 'Lockstep';
  const { state, fraction, model } = status;
  const progress = isOver(status) ? '' : ` ${Math.floor(fraction * 100)} %`;
  return `${stateWord(state)}${progress}${model ? ` · ${model.name}` : ''} · Lockstep`;
}

function Run({ view }: { readonly view: RunView }) {
  const { status } = view;
  if (!status) {
    return (
      <section class="card empty">
        <h2>No word of a run yet</h2>
        <p class="quiet">The page begins as soon as the coordinator answers.</p>
      </section>
    );
  }
  return (
    <>
      <RunState status={status} />
      <Tiles view={view} status={status} />
      <div class="halves">
        <LossPlot view={view} status={status} />
        <AccuracyPlot view={view} status={status} />
        <ThroughputPlot view={view} status={status} />
        <Epochs status={status} />
      </div>
      <Workers status={status} />
      <div class="halves">
        <Phases status={status} />
        <Incidents status={status} />
      </div>
      <div class="halves is-uneven">
        <Confusion status={status} />
        <Pictures view={view} status={status} />
      </div>
      <Log status={status} />
    </>
  );
}

export function App({ store }: { readonly store: Store }) {
  const [, redraw] = useState(0);
  useLayoutEffect(() => store.subscribe(() => redraw((times) => times + 1)), [store]);
  const { view, connection } = store;
  const { status } = view;
  const title = titleOf(view);
  useEffect(() => {
    document.title = title;
  }, [title]);
  const isStale = connection.state === 'lost' && status !== undefined && !isOver(status);
  return (
    <>
      <Header model={status?.model?.name} dataset={status?.dataset?.name} />
      <main>
        <ConnectionNotice connection={connection} status={status} />
        <div class={isStale ? 'run is-stale' : 'run'}>
          <Run view={view} />
        </div>
      </main>
      <footer class="page-footer">
        <p>Lockstep{status && ` ${status.version}`}: the same weights, bit for bit, whoever computes them.</p>
        <p>
          For programs: <a href="api/status">api/status</a>
        </p>
      </footer>
    </>
  );
}
