/** What has happened: the epochs in numbers, and the log. */
import type { RunStatus } from '@lockstep/protocol';
import { duration, integer, loss, percent, timeOfDay } from '../words/format.ts';
import { splitWord, viewsSentence } from '../words/sentences.ts';
import { Cross, Warning } from './icons.tsx';
import { ScrollBox } from './scroll-box.tsx';

export function Epochs({ status: { epochs } }: { readonly status: RunStatus }) {
  const split = splitWord(epochs) === 'test' ? 'Test' : 'Validation';
  const views = viewsSentence(epochs);
  return (
    <section class="card epochs-card" aria-labelledby="epochs-heading">
      <h2 id="epochs-heading">Epochs</h2>
      {views && <p class="quiet">{views}</p>}
      {epochs.length === 0 ? (
        <p class="quiet">Comes after the first epoch.</p>
      ) : (
        <ScrollBox label="Epochs" class="epochs-box">
          <table class="epochs">
            <thead>
              <tr>
                <th scope="col">Epoch</th>
                <th scope="col">Training loss</th>
                <th scope="col">
                  <span class="hidden">Training </span>accuracy
                </th>
                <th scope="col">{split} loss</th>
                <th scope="col">
                  <span class="hidden">{split} </span>accuracy
                </th>
                <th scope="col">Samples/s</th>
                <th scope="col">Time</th>
              </tr>
            </thead>
            <tbody>
              {epochs.toReversed().map((epoch) => (
                <tr key={epoch.epoch}>
                  <th scope="row">{epoch.epoch}</th>
                  <td>{loss(epoch.trainLoss)}</td>
                  <td>{percent(epoch.trainAccuracy)}</td>
                  <td>{loss(epoch.testLoss)}</td>
                  <td class="strong">{percent(epoch.testAccuracy)}</td>
                  <td>{integer(epoch.samplesPerSecond)}</td>
                  <td>{epoch.seconds < 10 ? `${epoch.seconds.toFixed(1)}\u00a0s` : duration(epoch.seconds)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollBox>
      )}
    </section>
  );
}

type LogLine = RunStatus['log'][number];

function Level({ level }: Pick<LogLine, 'level'>) {
  if (level === 'info') return null;
  return (
    <span class="log-level">
      {level === 'error' ? <Cross size={14} /> : <Warning />}
      <span class="hidden">{level}: </span>
    </span>
  );
}

export function Log({ status: { log } }: { readonly status: RunStatus }) {
  return (
    <section class="card log-card" aria-labelledby="log-heading">
      <h2 id="log-heading">Log</h2>
      {log.length === 0 ? (
        <p class="quiet">Nothing has happened yet.</p>
      ) : (
        <ScrollBox label="Log, latest first" class="log-box">
          <ol class="log" reversed>
            {log.toReversed().map(({ at, level, text }, i) => (
              <li key={`${at} ${log.length - i}`} class={`is-${level}`}>
                <time dateTime={new Date(at).toISOString()}>{timeOfDay(at)}</time>
                <span>
                  <Level level={level} />
                  {text}
                </span>
              </li>
            ))}
          </ol>
        </ScrollBox>
      )}
    </section>
  );
}
