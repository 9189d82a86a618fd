/**
 * Parameters as kernels want them: channels filled up to whole vectors with zeros, and what only depends on parameters worked out
 * once for all micro-batches of a step.
 */
import { invariant, type ParameterLayout } from '@lockstep/core';
import type { Isa, Register } from './assembler.ts';
import { copyRows } from './elementwise.ts';
import { type Address, addressOf, Code, Memory } from './machine.ts';
import { Arena, type Buffer, type Move, Program, padded } from './program.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

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

/** Copies a tensor between the caller's vector, where it is tight, and a place where it is filled up. */
export function copyTensor(p: Program, shape: Shape3, tight: Buffer, wide: Buffer, direction: 'in' | 'out'): void {
  const { outer, inner, columns, innerRoom, columnsRoom } = shape;
  const [tightRow, wideRow] = [columns * FLOAT_BYTES, columnsRoom * FLOAT_BYTES];
  const between = (rows: number, floats: number, tightMove: Move, wideMove: Move): void => {
    const [from, into] = direction === 'in' ? [tightMove, wideMove] : [wideMove, tightMove];
    copyRows(p, rows, floats, from, into);
  };
  p.point<[Register, Register]>([tight, wide], (tightPointer, widePointer) => {
    const tightOuter: Move = [tightPointer, inner * tightRow];
    const wideOuter: Move = [widePointer, innerRoom * wideRow];
    if (columns === columnsRoom) between(outer, inner * columns, tightOuter, wideOuter);
    else {
      p.loop(outer, [tightOuter, wideOuter], () =>
        between(inner, columns, [tightPointer, tightRow], [widePointer, wideRow]),
      );
    }
  });
}

/** The parameters of one engine. */
export class ParameterMemory {
  readonly #layout: ParameterLayout;
  readonly #arena = new Arena();
  readonly #program: Program;
  /** There once everything has been placed. */
  #ready: { readonly memory: Memory; readonly code: Code } | undefined;

  constructor(layout: ParameterLayout, isa: Isa) {
    this.#layout = layout;
    // What it computes with is among the parameters.
    this.#program = new Program(isa, this.#arena);
  }

  /** Reserves room for a parameter. */
  place(name: string, shape: Shape3): Buffer {
    const buffer = this.#buffer(roomOf(shape));
    copyTensor(this.#program, shape, this.inCaller(name), buffer, 'in');
    return buffer;
  }

  /** Where a parameter or its gradient is in a flat vector. */
  inCaller(name: string): Buffer {
    const { offset } = this.#layout.parameters.find((parameter) => parameter.name === name)!;
    return { memory: 'caller', offset: offset * FLOAT_BYTES };
  }

  /** Reserves room for what `write` works out whenever parameters change. */
  derive(floats: number, write: (p: Program, into: Buffer) => void): Buffer {
    const buffer = this.#buffer(floats);
    write(this.#program, buffer);
    return buffer;
  }

  /** Nothing can be placed after this. */
  finish(): void {
    this.#ready = { memory: new Memory(this.#arena), code: new Code(this.#program.finish()) };
  }

  get address(): Address {
    return this.#ready!.memory.address;
  }

  set(flat: Float32Array): void {
    invariant(flat.length >= this.#layout.numParameters, 'parameters are complete');
    this.#ready!.code.call(this.address, this.address, addressOf(flat));
  }

  dispose(): void {
    this.#ready?.code.dispose();
  }

  #buffer(floats: number): Buffer {
    return { memory: 'parameters', offset: this.#arena.floats(floats) };
  }
}
