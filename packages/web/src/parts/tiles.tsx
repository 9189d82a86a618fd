/** The four numbers that people look for first. */
import type { RunStatus } from '@lockstep/protocol';
import type { ComponentChildren } from 'preact';
import { smoothed, trendOf } from '../data/trend.ts';
import type { RunView } from '../data/view.ts';
import { integer, loss, NONE, percent, plural } from '../words/format.ts';
import { latestAccuracy, splitWord } from '../words/sentences.ts';

interface TileProps {
  readonly id: string;
  readonly name: string;
  readonly value: string;
  readonly children: ComponentChildren;
}

function Tile({ id, name, value, children }: TileProps) {
  return (
    <div class="card tile" data-tile={id}>
      <dt>{name}</dt>
      <dd class="tile-value">{value}</dd>
      <dd class="tile-note">{children}</dd>
    </div>
  );
}

function accuracyNote({ epochs, result }: RunStatus): string {
  const last = epochs.at(-1);
  if (!last) return 'comes after the first epoch';
  if (result && last.evaluatedOn) return `at the end; validation accuracy ${percent(last.testAccuracy)}`;
  const best = epochs.reduce((best, epoch) => (epoch.testAccuracy > best.testAccuracy ? epoch : best));
  if (best.epoch === last.epoch) return `after epoch ${last.epoch}, the best so far`;
  return `after epoch ${last.epoch}; best ${percent(best.testAccuracy)}, epoch ${best.epoch}`;
}

export function Tiles({ view, status }: { readonly view: RunView; readonly status: RunStatus }) {
  const { epochs, members, efficiency, samplesPerSecond } = status;
  const last = epochs.at(-1);
  const latest = latestAccuracy(status);
  const losses = view.curve.columns.loss;
  const trend = trendOf(losses);
  const ready = members.filter(({ state }) => state === 'ready');
  const threads = ready.reduce((sum, member) => sum + member.threads, 0);
  const lossNote = [trend, last && `${splitWord(epochs)} loss ${loss(last.testLoss)}`].filter(Boolean).join('; ');
  return (
    <section aria-labelledby="numbers-heading">
      <h2 id="numbers-heading" class="hidden">
        Numbers
      </h2>
      <dl class="tiles">
        <Tile
          id="accuracy"
          name={(latest?.split ?? 'test') === 'test' ? 'Test accuracy' : 'Validation accuracy'}
          value={latest ? percent(latest.accuracy) : NONE}
        >
          {accuracyNote(status)}
        </Tile>
        <Tile id="loss" name="Training loss" value={losses.length > 0 ? loss(smoothed(losses).at(-1)!) : NONE}>
          {lossNote || 'comes with the first steps'}
        </Tile>
        <Tile id="rate" name="Samples per second" value={samplesPerSecond > 0 ? integer(samplesPerSecond) : NONE}>
          {efficiency === undefined
            ? 'of all workers together'
            : `${percent(efficiency, 0)} of what its workers reach alone`}
        </Tile>
        <Tile id="workers" name="Workers" value={integer(ready.length)}>
          {ready.length < members.length && `of ${integer(members.length)} ready; `}
          {plural(threads, 'thread')}
        </Tile>
      </dl>
    </section>
  );
}
