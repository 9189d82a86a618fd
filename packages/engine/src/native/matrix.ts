/**
 * Matrix products for optimizers, in machine code, with the bits of the WebAssembly loop whose place they take (`multiply` in
 * `core/kernels/matrix.ts`): each element is added up in ascending order, and every product is rounded before it is added.
 */
import type { KernelFunctions } from '@lockstep/core';
import { Assembler, at, registers } from './assembler.ts';
import { type Address, addressOf, Code, findIsa } from './machine.ts';

const VECTOR_BYTES = 32;
const LANES = 8;
/** Rows and vectors of a tile that is added up in registers. */
const TILE_ROWS = 4;
const TILE_VECTORS = 2;
/** Steps of the innermost loop that are written out, where the depth is a multiple. */
const UNROLLED = 4;

/** What code is written for; strides are in bytes. */
interface Strides {
  readonly rows: number;
  readonly intoRow: number;
  readonly leftRow: number;
  readonly leftStep: number;
  readonly rightRow: number;
  readonly vectors: number;
  readonly steps: number;
}

/** Numbers that code reads when it is called. */
const fields = { into: 0, left: 1, right: 2, panels: 3, turns: 4 } as const;

/** Code for any number of panels of `vectors` columns, one after the other, and any depth. */
function write({ rows, intoRow, leftRow, leftStep, rightRow, vectors, steps }: Strides): Uint8Array {
  // Vectors of 8 on every processor: with separate multiplications and additions wider ones gain little.
  const asm = new Assembler('avx2');
  const { rdi, rax, rcx, rdx, r8: into, r9: left, r10: right, r11: panels } = registers;
  const field = (name: keyof typeof fields) => at(rdi, 8 * fields[name]);
  const sum = (row: number, vector: number): number => row * vectors + vector;
  const [factor, element, product] = [TILE_ROWS * TILE_VECTORS, TILE_ROWS * TILE_VECTORS + TILE_VECTORS, 15];
  asm.loadRegister(into, field('into'));
  asm.loadRegister(left, field('left'));
  asm.loadRegister(right, field('right'));
  asm.loadRegister(panels, field('panels'));
  const nextPanel = asm.length;
  for (let first = 0; first < rows; first += TILE_ROWS) {
    const height = Math.min(TILE_ROWS, rows - first);
    for (let i = 0; i < height * vectors; i++) asm.zero(i);
    asm.address(rax, at(left, first * leftRow));
    asm.address(rdx, at(right));
    asm.loadRegister(rcx, field('turns'));
    const nextTurn = asm.length;
    for (let step = 0; step < steps; step++) {
      for (let vector = 0; vector < vectors; vector++)
        asm.load(factor + vector, at(rdx, step * rightRow + vector * VECTOR_BYTES));
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
        asm.store(at(into, (first + row) * intoRow + vector * VECTOR_BYTES), sum(row, vector));
    }
  }
  asm.addNumber(into, vectors * VECTOR_BYTES);
  asm.addNumber(right, vectors * VECTOR_BYTES);
  asm.countDown(panels, nextPanel);
  asm.clearUpperHalves();
  asm.return();
  return asm.code;
}

/** The products over one memory. */
class Products {
  readonly #base: Address;
  /** Halves of the fields, the lower one first: integers of 64 bits would be slow to make. */
  readonly #arguments = new Uint32Array(2 * Object.keys(fields).length);
  readonly #argumentsAddress: Address;
  readonly #known: { readonly strides: Strides; readonly code: Code }[] = [];

  constructor(memory: WebAssembly.Memory) {
    this.#base = addressOf(new Uint8Array(memory.buffer));
    this.#argumentsAddress = addressOf(this.#arguments);
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
    const pairs = Math.floor(columns / (TILE_VECTORS * LANES));
    const done = pairs * TILE_VECTORS * VECTOR_BYTES;
    const run = (vectors: number, panels: number, skipped: number): void => {
      this.#give(fields.into, this.#base + into + skipped);
      this.#give(fields.left, this.#base + left);
      this.#give(fields.right, this.#base + right + skipped);
      this.#give(fields.panels, panels);
      this.#give(fields.turns, depth / steps);
      const code = this.#codeFor({ rows, intoRow, leftRow, leftStep, rightRow, vectors, steps });
      code.call(this.#argumentsAddress, 0, 0);
    };
    if (pairs > 0) run(TILE_VECTORS, pairs, 0);
    if (done < columns * Float32Array.BYTES_PER_ELEMENT) run(1, 1, done);
  };

  #give(field: number, value: number): void {
    this.#arguments[2 * field] = value >>> 0;
    this.#arguments[2 * field + 1] = value / 2 ** 32;
  }

  #codeFor(strides: Strides): Code {
    // A handful for each matrix of a model.
    const known = this.#known.find(
      ({ strides: other }) =>
        other.rows === strides.rows &&
        other.intoRow === strides.intoRow &&
        other.leftRow === strides.leftRow &&
        other.leftStep === strides.leftStep &&
        other.rightRow === strides.rightRow &&
        other.vectors === strides.vectors &&
        other.steps === strides.steps,
    );
    if (known) return known.code;
    const code = new Code(write(strides));
    this.#known.push({ strides, code });
    return code;
  }
}

/**
 * The same loops, with matrix products in machine code where this machine can run it.
 * @throws LockstepError `engine-unavailable` where it cannot
 */
export function withNativeProducts(kernels: KernelFunctions, memory: WebAssembly.Memory): KernelFunctions {
  findIsa();
  return { ...kernels, multiply: new Products(memory).multiply };
}
