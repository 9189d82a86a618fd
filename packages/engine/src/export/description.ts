/** What is exported, as what, and what it says about itself in every format. */
import type { Network } from '../topology/network.ts';

export interface ModelNotes {
  /** Of Lockstep. */
  readonly version: string;
  /** By class index. */
  readonly classNames: readonly string[];
  /** What a picture must look like, beside its size and scale: 'a light garment on black'. */
  readonly pictures: string;
  /** Whatever else is worth keeping with the weights, such as what they were trained on. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface TrainedModel {
  readonly network: Network;
  /** The flat parameter vector. */
  readonly parameters: Float32Array;
  readonly notes: ModelNotes;
}

export interface ExportedFile {
  /** Inside the folder; of no meaning when there is only one file. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Description {
  /** All of it, for people. */
  readonly text: string;
  readonly input: string;
  readonly output: string;
  /** All of it, for programs. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** @param output what the exported model gives for each class */
export function describeModel({ network, notes }: TrainedModel, output: 'probabilities' | 'logits'): Description {
  const { name, inputShape, numClasses } = network;
  const inputSentence = `float32 [N, ${inputShape.join(', ')}]: pixels divided by 255, so 0 to 1; ${notes.pictures}`;
  const outputSentence = `float32 [N, ${numClasses}]: ${output} of the classes ${notes.classNames.join(', ')}`;
  const text = `${name}, an image classifier trained with Lockstep. Input ${inputSentence}. Output ${outputSentence}.`;
  const metadata = {
    generatedBy: `lockstep ${notes.version}`,
    model: name,
    input: inputSentence,
    inputRange: '[0, 1]',
    output: outputSentence,
    classNames: JSON.stringify(notes.classNames),
    ...notes.facts,
  };
  return { text, input: inputSentence, output: outputSentence, metadata };
}
