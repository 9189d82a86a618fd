/** Which classes the model takes for which: a table whose cells are coloured by their share of the row. */
import type { RunStatus } from '@lockstep/protocol';
import { useMemo } from 'preact/hooks';
import { integer, percent } from '../words/format.ts';
import { confusionSentence } from '../words/sentences.ts';
import { ScrollBox } from './scroll-box.tsx';

/** Least shares of the row for each shade; the shades are in the style sheet. Mistakes are few, so they show sooner. */
const RIGHT_STEPS = [0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.97];
const WRONG_STEPS = [0.002, 0.01, 0.03, 0.06, 0.12, 0.25];

const shade = (steps: readonly number[], share: number): number => steps.filter((step) => share >= step).length;

function shadeOf(isRight: boolean, count: number, rowSum: number): string {
  const share = rowSum > 0 ? count / rowSum : 0;
  return isRight ? `right-${shade(RIGHT_STEPS, share)}` : `wrong-${shade(WRONG_STEPS, share)}`;
}

type Predictions = NonNullable<RunStatus['predictions']>;

function ConfusionTable({ predictions, names }: { readonly predictions: Predictions; readonly names: string[] }) {
  return (
    <table class="confusion">
      <caption class="hidden">Rows: what a picture shows. Columns: what the model says.</caption>
      <thead>
        <tr>
          <td />
          {names.map((name) => (
            <th key={name} scope="col">
              <span>{name}</span>
            </th>
          ))}
          <th scope="col">
            <span>named right</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {predictions.confusion.map((row, label) => {
          const sum = row.reduce((a, b) => a + b, 0);
          return (
            <tr key={names[label]}>
              <th scope="row">{names[label]}</th>
              {row.map((count, predicted) => (
                <td key={names[predicted]} class={shadeOf(label === predicted, count, sum)}>
                  {integer(count)}
                </td>
              ))}
              <td class="recall">{sum > 0 && percent(row[label]! / sum, 1)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

export function Confusion({ status: { predictions, classNames } }: { readonly status: RunStatus }) {
  const table = useMemo(
    () => predictions && <ConfusionTable predictions={predictions} names={classNames} />,
    [predictions],
  );
  return (
    <section class="card confusion-card" aria-labelledby="confusion-heading">
      <h2 id="confusion-heading">Confusion matrix</h2>
      {predictions ? (
        <>
          <p class="lead">{confusionSentence(predictions, classNames)}</p>
          <p class="axes" aria-hidden="true">
            rows: what it is · columns: what the model says
          </p>
          <ScrollBox label="Confusion matrix" class="confusion-box">
            {table}
          </ScrollBox>
        </>
      ) : (
        <p class="quiet">Comes after the first epoch.</p>
      )}
    </section>
  );
}
