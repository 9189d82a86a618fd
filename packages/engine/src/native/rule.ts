/** What a rule for a kind of layer is given and gives. */
import { LockstepError } from '@lockstep/core';
import type { LayerNode, Window } from '../topology/network.ts';
import type { ParameterMemory, Shape3 } from './parameters.ts';
import { type Buffer, type Program, padded } from './program.ts';
import type { Pictures } from './tiles.ts';

/** How the values of a node lie in memory: `positions` rows a sample, each of `outer` parts of `channels` values, filled up. */
export interface Arrangement {
  readonly positions: number;
  readonly outer: number;
  readonly channels: number;
  readonly room: number;
}

export const sampleRoom = ({ positions, outer, room }: Arrangement): number => positions * outer * room;

/** One program, as layers write it. */
export interface Run {
  readonly p: Program;
  /** Samples, of all micro-batches. */
  readonly count: number;
  /** Samples of each micro-batch; more than one only where {@link isGroupable} says so. */
  readonly counts: readonly number[];
  readonly training: boolean;
  /** Where the gradient of a parameter is to go, or its batch statistic times `count`. */
  produce(name: string, shape: Shape3): Buffer;
  /** Factors of a dropout layer, filled in before each run. */
  mask(index: number, arrangement: Arrangement): Buffer;
}

export interface Forward {
  readonly output: Buffer;
  /** Writes the gradients with respect to the inputs; undefined where nobody wants them. */
  backward(gradient: Buffer): readonly (Buffer | undefined)[];
}

export interface Layer {
  readonly arrangement: Arrangement;
  forward(run: Run, inputs: readonly Buffer[]): Forward;
}

/** Max pooling behind a convolution, done together with it, so that what lies between never leaves the cache. */
interface Pooling {
  readonly window: Window;
  /** Of the pooled pictures. */
  readonly shape: readonly number[];
}

export interface Place {
  readonly parameters: ParameterMemory;
  readonly inputs: readonly Arrangement[];
  /** Shapes of the inputs without batch. */
  readonly inputShapes: readonly (readonly number[])[];
  /** Whether a ReLU follows, and nothing else: layers that can do it themselves say so. */
  readonly relu: boolean;
  /** The max pooling that follows a convolution, and nothing else. */
  readonly pooling: Pooling | undefined;
  /** Which inputs' gradients are wanted. */
  readonly wanted: readonly boolean[];
}

export type Node<Kind extends LayerNode['kind']> = Extract<LayerNode, { kind: Kind }>;

/** A layer with nothing to compute: what it reads is what it gives, in whatever arrangement. */
export const passing = (arrangement: Arrangement): Layer => ({
  arrangement,
  forward: (_, [from]) => ({ output: from!, backward: (gradient) => [gradient] }),
});

/** The error for what no rule is written for. */
export const unsupported = (what: string): LockstepError =>
  new LockstepError(
    'engine-unavailable',
    `The engine "native" has no ${what}.`,
    'Use --engine auto, which takes the fastest that works.',
  );

export const picturesOf = (shape: readonly number[], { room }: Arrangement): Pictures => ({
  height: shape[0]!,
  width: shape[1]!,
  channels: room,
});

export const pictureArrangement = ([height, width, channels]: readonly number[]): Arrangement => ({
  positions: height! * width!,
  outer: 1,
  channels: channels!,
  room: padded(channels!),
});
