/**
 * Matrix products for optimizers, in machine code, with the bits of the WebAssembly loop whose place they take (`multiply` in
 * `core/kernels/matrix.ts`): each element is added up in ascending order, and every product is rounded before it is added.
 */
import type { KernelFunctions } from '@lockstep/core';
import { Arguments } from './arguments.ts';
import { Assembler, at, type Isa, registers } from './assembler.ts';
import { type Address, addressOf, Code, findIsa } from './machine.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
/** Vectors of a tile that is added up in registers. */
const TILE_VECTORS = 2;
/** And its rows. */
const tileRows = (isa: Isa): number => (isa === 'avx512' ? 8 : 4);
/** Steps of the innermost loop that are written out, where the depth is a multiple. */
const UNROLLED = 4;

/** What code is written for; strides are in bytes. */
interface Shape {
  /** Columns of a panel: of one or two vectors. */
  readonly width: number;
  readonly isa: Isa;
  readonly rows: number;
  readonly intoRow: number;
  readonly leftRow: number;
  readonly leftStep: number;
  readonly rightRow: number;
  readonly steps: number;
}

type Fields = Arguments<'into' | 'left' | 'right' | 'panels' | 'turns'>;

/** Code for any number of panels, one after the other, and any depth. */
function write({ width, isa, rows, intoRow, leftRow, leftStep, rightRow, steps }: Shape, fields: Fields): Uint8Array {
  const asm = new Assembler(isa);
  const { lanes, vectorBytes } = asm;
  const vectors = width / lanes;
  const { rax, rcx, rdx, r8: into, r9: left, r10: right, r11: panels } = registers;
  const sum = (row: number, vector: number): number => row * vectors + vector;
  const factor = tileRows(isa) * TILE_VECTORS;
  const element = factor + TILE_VECTORS;
  const product = element + 1;
  asm.loadRegister(into, fields.place('into'));
  asm.loadRegister(left, fields.place('left'));
  asm.loadRegister(right, fields.place('right'));
  asm.loadRegister(panels, fields.place('panels'));
  const nextPanel = asm.length;
  for (let first = 0; first < rows; first += tileRows(isa)) {
    const height = Math.min(tileRows(isa), rows - first);
    for (let i = 0; i < height * vectors; i++) asm.zero(i);
    asm.address(rax, at(left, first * leftRow));
    asm.address(rdx, at(right));
    asm.loadRegister(rcx, fields.place('turns'));
    const nextTurn = asm.length;
    for (let step = 0; step < steps; step++) {
      for (let vector = 0; vector < vectors; vector++)
        asm.load(factor + vector, at(rdx, step * rightRow + vector * vectorBytes));
      for (let row = 0; row < height; row++) {
        asm.broadcast(element, at(rax, row * leftRow + step * leftStep));
        for (let vector = 0; vector < vectors; vector++) {
          asm.multiply(product, element, factor + vector);
          asm.add(sum(row, vector), sum(row, vector), product);
        }
      }
    }
    asm.addNumber(rax, steps * leftStep);
    asm.addNumber(rdx, steps * rightRow);
    asm.countDown(rcx, nextTurn);
    for (let row = 0; row < height; row++) {
      for (let vector = 0; vector < vectors; vector++)
        asm.store(at(into, (first + row) * intoRow + vector * vectorBytes), sum(row, vector));
    }
  }
  asm.addNumber(into, width * FLOAT_BYTES);
  asm.addNumber(right, width * FLOAT_BYTES);
  asm.countDown(panels, nextPanel);
  asm.clearUpperHalves();
  asm.return();
  return asm.code;
}

/** The products over one memory. */
class Products {
  readonly #base: Address;
  readonly #fields: Fields = new Arguments(['into', 'left', 'right', 'panels', 'turns']);
  /** Panels, the widest first; the last divides all columns. */
  readonly #widths: readonly Pick<Shape, 'isa' | 'width'>[];
  readonly #known: { readonly shape: Shape; readonly code: Code }[] = [];

  /** @param isa the widest vectors that there are */
  constructor(memory: WebAssembly.Memory, isa: Isa) {
    const pair = { isa, width: new Assembler(isa).lanes * TILE_VECTORS } as const;
    this.#widths = [pair, { isa: 'avx2', width: 16 }, { isa: 'avx2', width: 8 }];
    this.#base = addressOf(new Uint8Array(memory.buffer));
  }

  readonly multiply: KernelFunctions['multiply'] = (
    into,
    left,
    right,
    rows,
    columns,
    depth,
    intoRow,
    leftRow,
    leftStep,
    rightRow,
  ) => {
    const steps = depth % UNROLLED === 0 ? UNROLLED : 1;
    let done = 0;
    for (const { isa, width } of this.#widths) {
      const panels = Math.floor((columns - done) / width);
      if (panels === 0) continue;
      this.#fields.give('into', this.#base + into + done * FLOAT_BYTES);
      this.#fields.give('left', this.#base + left);
      this.#fields.give('right', this.#base + right + done * FLOAT_BYTES);
      this.#fields.give('panels', panels);
      this.#fields.give('turns', depth / steps);
      this.#fields.call(this.#codeFor({ width, isa, rows, intoRow, leftRow, leftStep, rightRow, steps }));
      done += panels * width;
    }
  };

  #codeFor(shape: Shape): Code {
    // A handful for each matrix of a model.
    const known = this.#known.find(
      ({ shape: other }) =>
        other.width === shape.width &&
        other.isa === shape.isa &&
        other.rows === shape.rows &&
        other.intoRow === shape.intoRow &&
        other.leftRow === shape.leftRow &&
        other.leftStep === shape.leftStep &&
        other.rightRow === shape.rightRow &&
        other.steps === shape.steps,
    );
    if (known) return known.code;
    const code = new Code(write(shape, this.#fields));
    this.#known.push({ shape, code });
    return code;
  }
}

/**
 * The same loops, with matrix products in machine code where this machine can run it.
 * @param isa for tests; by default the widest vectors of this processor
 * @throws LockstepError `engine-unavailable` where it cannot
 */
export function withNativeProducts(
  kernels: KernelFunctions,
  memory: WebAssembly.Memory,
  isa: Isa = findIsa(),
): KernelFunctions {
  return { ...kernels, multiply: new Products(memory, isa).multiply };
}
