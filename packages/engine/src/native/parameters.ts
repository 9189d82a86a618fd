/**
 * Parameters as kernels want them: channels filled up to whole vectors with zeros, and what only depends on parameters worked out
 * once for all micro-batches of a step.
 */
import type { Parameter, ParameterLayout } from '@lockstep/core';
import type { Isa } from './assembler.ts';
import { type Address, Code, Memory } from './machine.ts';
import { Arena, type Buffer, Program, padded } from './program.ts';

/** A tensor [outer, inner, columns], and to what lengths the last two are filled up. */
export interface Shape3 {
  readonly outer: number;
  readonly inner: number;
  readonly columns: number;
  readonly innerRoom: number;
  readonly columnsRoom: number;
}

export const roomOf = ({ outer, innerRoom, columnsRoom }: Shape3): number => outer * innerRoom * columnsRoom;

/** Whether nothing is filled up: the tensor lies in memory as it is in the flat vector. */
export const isDense = ({ inner, columns, innerRoom, columnsRoom }: Shape3): boolean =>
  inner === innerRoom && columns === columnsRoom;

/** A vector of channels. */
export const channelShape = (channels: number): Shape3 => ({
  outer: 1,
  inner: 1,
  columns: channels,
  innerRoom: 1,
  columnsRoom: padded(channels),
});

/** Calls `copy` for all pieces that lie together both filled up and not: their places, and length. */
function forEachPiece(
  { outer, inner, columns, innerRoom, columnsRoom }: Shape3,
  copy: (tight: number, wide: number, length: number) => void,
): void {
  const whole = columns === columnsRoom;
  for (let o = 0; o < outer; o++) {
    if (whole) copy(o * inner * columns, o * innerRoom * columns, inner * columns);
    else {
      for (let i = 0; i < inner; i++) copy((o * inner + i) * columns, (o * innerRoom + i) * columnsRoom, columns);
    }
  }
}

/** Copies a tensor out of memory where it is filled up. */
export function collect(shape: Shape3, into: Float32Array, wide: Float32Array): void {
  forEachPiece(shape, (tight, from, length) => into.set(wide.subarray(from, from + length), tight));
}

/** The parameters of one engine. */
export class ParameterMemory {
  readonly #layout: ParameterLayout;
  readonly #arena = new Arena();
  readonly #program: Program;
  readonly #placed: { readonly parameter: Parameter; readonly shape: Shape3; readonly buffer: Buffer }[] = [];
  /** There once everything has been placed. */
  #ready: { readonly memory: Memory; readonly code: Code; readonly views: readonly Float32Array[] } | undefined;

  constructor(layout: ParameterLayout, isa: Isa) {
    this.#layout = layout;
    // What it computes with is among the parameters.
    this.#program = new Program(isa, this.#arena);
  }

  /** Reserves room for a parameter. */
  place(name: string, shape: Shape3): Buffer {
    const parameter = this.find(name);
    const buffer = this.#buffer(roomOf(shape));
    this.#placed.push({ parameter, shape, buffer });
    return buffer;
  }

  find(name: string): Parameter {
    return this.#layout.parameters.find((parameter) => parameter.name === name)!;
  }

  /** Reserves room for what `write` works out whenever parameters change. */
  derive(floats: number, write: (p: Program, into: Buffer) => void): Buffer {
    const buffer = this.#buffer(floats);
    write(this.#program, buffer);
    return buffer;
  }

  /** Nothing can be placed after this. */
  finish(): void {
    const memory = new Memory(this.#arena);
    const views = this.#placed.map(({ shape, buffer }) => memory.floats(buffer.offset, roomOf(shape)));
    this.#ready = { memory, code: new Code(this.#program.finish()), views };
  }

  get address(): Address {
    return this.#ready!.memory.address;
  }

  set(flat: Float32Array): void {
    const { code, views } = this.#ready!;
    this.#placed.forEach(({ parameter, shape }, i) => {
      const view = views[i]!;
      const tensor = this.#layout.view(flat, parameter);
      forEachPiece(shape, (tight, into, length) => view.set(tensor.subarray(tight, tight + length), into));
    });
    code.call(this.address, this.address, 0);
  }

  dispose(): void {
    this.#ready?.code.dispose();
  }

  #buffer(floats: number): Buffer {
    return { memory: 'parameters', offset: this.#arena.floats(floats) };
  }
}
