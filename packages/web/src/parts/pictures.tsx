/** Some test pictures, and what the model sees in them; that changes as it learns. */
import type { RunStatus } from '@lockstep/protocol';
import { useMemo } from 'preact/hooks';
import type { RunView } from '../data/view.ts';
import { picturesSentence } from '../words/sentences.ts';
import { Check, Cross } from './icons.tsx';

type Picture = NonNullable<RunStatus['predictions']>['pictures'][number];

interface PictureProps extends Picture {
  readonly index: number;
  /** How many the sprite holds. */
  readonly of: number;
  readonly sprite: string;
  readonly names: readonly string[];
}

function PictureItem({ index, of, sprite, names, label, predicted }: PictureProps) {
  const isRight = label === predicted;
  const place = {
    backgroundImage: `url(${JSON.stringify(sprite)})`,
    backgroundSize: `${of * 100}% 100%`,
    backgroundPosition: `${of > 1 ? (index / (of - 1)) * 100 : 0}% 0`,
  };
  return (
    <li class={`picture ${isRight ? 'is-right' : 'is-wrong'}`}>
      <span class="picture-image" role="img" aria-label={`A picture of class ${names[label]}:`}>
        <span class="picture-pixels" style={place} />
        <span class="picture-mark">{isRight ? <Check size={12} /> : <Cross size={12} />}</span>
      </span>
      <span class="picture-names">
        <span class="hidden">{isRight ? 'right, ' : 'wrong, named '}</span>
        <span class="picture-said">{names[predicted]}</span>
        {!isRight && <span class="quiet">is {names[label]}</span>}
      </span>
    </li>
  );
}

export function Pictures({ view, status }: { readonly view: RunView; readonly status: RunStatus }) {
  const { predictions, classNames, startId } = status;
  // Another start may show other pictures under the same address.
  const sprite = `api/pictures.png?start=${encodeURIComponent(startId)}`;
  const items = useMemo(
    () =>
      predictions?.pictures.map((picture, i, { length }) => (
        <PictureItem key={i} index={i} of={length} sprite={sprite} names={classNames} {...picture} />
      )),
    [predictions, sprite],
  );
  if (!predictions || !items || items.length === 0) {
    return (
      <section class="card" aria-labelledby="pictures-heading">
        <h2 id="pictures-heading">What the model sees</h2>
        <p class="quiet">Comes after the first epoch.</p>
      </section>
    );
  }
  return (
    <section class="card" aria-labelledby="pictures-heading">
      <h2 id="pictures-heading">What the model sees</h2>
      <p class="lead">{picturesSentence(predictions, view.previousPredictions)}</p>
      <ul class="pictures">{items}</ul>
    </section>
  );
}
