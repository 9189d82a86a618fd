/** What the time of a step is spent on, and what went otherwise than planned. */
import type { RunStatus } from '@lockstep/protocol';
import { integer, milliseconds, percent } from '../words/format.ts';
import { reassignmentWords, refusalWords } from '../words/sentences.ts';

const PHASES = [
  ['broadcast', 'Broadcast', 'parameters and shards go out'],
  ['compute', 'Compute', 'until the slowest worker is done'],
  ['gather', 'Gather', 'partial sums come back'],
  ['update', 'Update', 'sum along the tree, optimizer'],
] as const;

export function Phases({ status: { phases } }: { readonly status: RunStatus }) {
  const total = phases ? PHASES.reduce((sum, [key]) => sum + phases[key], 0) : 0;
  return (
    <section class="card" aria-labelledby="phases-heading">
      <h2 id="phases-heading">Time of a step</h2>
      {!phases || total <= 0 ? (
        <p class="quiet">No step yet.</p>
      ) : (
        <>
          <p class="lead">{milliseconds(total)} per step, the mean of the latest ones.</p>
          <div class="phase-bar" aria-hidden="true">
            {PHASES.filter(([key]) => phases[key] > 0).map(([key]) => (
              <span key={key} class={`phase-${key}`} style={{ flexGrow: phases[key] / total }} />
            ))}
          </div>
          <dl class="phases">
            {PHASES.map(([key, name, meaning]) => (
              <div key={key}>
                <dt>
                  <span class={`swatch phase-${key}`} aria-hidden="true" />
                  {name} <span class="quiet">{meaning}</span>
                </dt>
                <dd>{milliseconds(phases[key])}</dd>
                <dd>{percent(phases[key] / total, 0)}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </section>
  );
}

interface CountsProps {
  readonly name: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly words: (reason: string) => string;
}

function Counts({ name, counts, words }: CountsProps) {
  const known = Object.entries(counts).filter(([, count]) => count > 0);
  const total = known.reduce((sum, [, count]) => sum + count, 0);
  return (
    <div>
      <h3>
        {name} <span class="count">{integer(total)}</span>
      </h3>
      {known.length === 0 ? (
        <p class="quiet">none so far</p>
      ) : (
        <dl class="counts">
          {known
            .sort(([, a], [, b]) => b - a)
            .map(([reason, count]) => (
              <div key={reason}>
                <dt>{words(reason)}</dt>
                <dd>{integer(count)}</dd>
              </div>
            ))}
        </dl>
      )}
    </div>
  );
}

export function Incidents({ status: { refused, reassigned } }: { readonly status: RunStatus }) {
  return (
    <section class="card" aria-labelledby="incidents-heading">
      <h2 id="incidents-heading">Not as planned</h2>
      <div class="incidents">
        <Counts name="Shards given to others" counts={reassigned} words={reassignmentWords} />
        <Counts name="Answers and workers refused" counts={refused} words={refusalWords} />
      </div>
    </section>
  );
}
